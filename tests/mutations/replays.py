"""The replays of a power loss, which notice sabotages of the stores and of the order of steps."""

_REPLAY = "test_power_loss.py::test_a_power_loss_at_any_step_loses_nothing_and_tears_nothing"
FIRST = f"{_REPLAY}[two manifests are done]"
AGAIN = f"{_REPLAY}[two manifests are done again, with another image]"
BY_HAND = f"{_REPLAY}[a claim is handed back; manifests fail, are corrected and done]"
