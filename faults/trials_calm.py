"""Nothing is done to anybody: a campaign that finds faults here is wrong itself, or an operator is not repeatable."""

from .scenes import OPERATORS


def trials(campaign):
    """As :func:`~.trials_kill.trials`."""
    for name in campaign.wanted(OPERATORS):
        scene = campaign.scenes.scene(name)
        yield name, "undisturbed", lambda s=scene: leave_alone(campaign, s)


def leave_alone(campaign, scene):
    """Runs the scene's operator once more, and examines what is left."""
    campaign.world.restore(scene.before)
    outcome = campaign.examiner.call(scene.operator, scene.params, **scene.setting)
    if "error" in outcome:
        return [f"it fails: {outcome['error']}"]
    return campaign.examiner.examine(scene)
