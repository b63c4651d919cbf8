"""The searches behind selectors whose choices depend on each other."""
