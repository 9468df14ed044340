"""How many examples a property test tries."""

from hypothesis import settings

_PROFILE = settings.get_profile(settings.get_current_profile_name())


def examples(count: int) -> settings:
    """Try `count` examples in `make test`, and ten times as many in `make fuzz`."""
    return settings(max_examples=count * _PROFILE.max_examples // 100)
