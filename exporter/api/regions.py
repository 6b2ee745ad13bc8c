"""The regions in which the service is known to exist; a new one is not an error."""

from difflib import get_close_matches
from typing import Final

_KNOWN: Final = (
    *("cn-beijing", "cn-chengdu", "cn-hangzhou", "cn-hongkong", "cn-shanghai", "cn-shenzhen"),
    *("cn-wulanchabu", "cn-zhangjiakou", "ap-northeast-1", "ap-southeast-1", "ap-southeast-5"),
    *("eu-central-1", "na-south-1", "us-east-1", "us-west-1"),
)


def region_hint(region_id: str) -> str:
    """Ask whether `region_id` is misspelt, and name the nearest region; empty for a known one."""
    if region_id in _KNOWN:
        return ""
    nearest = get_close_matches(region_id, _KNOWN, n=1, cutoff=0.0)[0]
    return f"If {region_id} is misspelt: did you mean {nearest}?"
