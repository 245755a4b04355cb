"""What the state of an image forbids, after rules and ownership have allowed it.

Pure.  Use cases refuse by what stands here, and who rehearses a request is told the
same.  What depends on more than one look at the record, such as an upload that
another one forestalled, only its use case can tell.

Source: contract policy 6; api-images 12, 14, 16 and 20.
"""

from imagereg.errors import (
    Forbidden,
    ImageProtected,
    ImageRegError,
    MemberNotFound,
    StatusForbids,
)
from imagereg.model import Caller, Image, Status, Visibility
from imagereg.policy.actions import Action

_AMONG_MEMBERS = frozenset(
    {
        *(Action.GET_MEMBERS, Action.GET_MEMBER, Action.ADD_MEMBER),
        *(Action.MODIFY_MEMBER, Action.DELETE_MEMBER),
    }
)
_DOWNLOADS = frozenset({Action.DOWNLOAD_IMAGE, Action.DOWNLOAD_FROM_STORE})
_BECOMES = {
    Action.DEACTIVATE: Status.DEACTIVATED,
    Action.REACTIVATE: Status.ACTIVE,
}


def refusal(
    caller: Caller, action: str, image: Image, member_id: str = ""
) -> ImageRegError | None:
    """Return why the image, as it is, does not allow an action, or None.

    ``member_id`` is the project whose membership the action is about, if it is.
    """
    if action in _AMONG_MEMBERS and image.visibility != Visibility.SHARED:
        if action == Action.GET_MEMBER:
            return MemberNotFound(image.id, member_id)
        return Forbidden("only shared images have members")
    if action == Action.DELETE_IMAGE and image.protected:
        return ImageProtected(f"image {image.id} is protected and cannot be deleted")
    if (
        action in _DOWNLOADS
        and image.status == Status.DEACTIVATED
        and not caller.is_admin
    ):
        return StatusForbids("the requested image has been deactivated")
    for known, after in _BECOMES.items():
        if action == known and image.status not in _BECOMES.values():
            told = f"an image that is {image.status} cannot become {after}"
            return StatusForbids(told)
    return None


def check(caller: Caller, action: Action, image: Image, member_id: str = "") -> None:
    """Raise what `refusal` returns."""
    found = refusal(caller, action, image, member_id)
    if found is not None:
        raise found
