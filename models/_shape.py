"""Checks that several families share."""

from bench.errors import UsageError


def grid(image_size: int, patch: int, *, name: str) -> int:
    """Patches along one side of the image; UsageError where the image is not a whole number of patches."""
    if image_size < patch or image_size % patch:
        below = max(patch, image_size - image_size % patch)
        works = f"{below}" if image_size < patch else f"{below} or {below + patch}"
        raise UsageError(f"--image-size: {name} has patches of {patch} and {image_size} is not a multiple; {works} would work")
    return image_size // patch
