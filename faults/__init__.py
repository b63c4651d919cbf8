"""The standing campaign of faults: ``python -m faults`` (``make faults``) kills, fills and crowds, then checks.

Every trial puts a database, a run's folder and an export folder into a known state, starts one operator in a process
of its own, does harm at a seeded moment, and asks the same questions: is anything of the user's touched, is anything
half written that ``check_run`` does not report with a step that mends it, does running the operator again give exactly
what an undisturbed run gives, and does ``delete_run`` leave the dataset exactly as it was before.

:mod:`.mongod`, :mod:`.world` and :mod:`.nursery` make the surroundings; :mod:`.actions` and :mod:`.moments` are what
happens in the processes that are killed; :mod:`.scenes` prepares the states and the undisturbed results; :mod:`.audit`
and :mod:`.contents` judge; :mod:`.checks` joins them to the questions; ``trials_*`` are the kinds of harm.
"""
