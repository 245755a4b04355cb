"""Who owns what, which no rule loosens: rules narrow, they never widen.

Pure.  `access.py` asks here after each rule that allows.

Source: rulings P-3 and P-4; contract policy 7, auth 7.
"""

from imagereg.errors import Forbidden, ImageRegError, NotOwner, ReadOnlyCaller
from imagereg.model import Caller
from imagereg.policy.actions import Action
from imagereg.targets import (
    ProposedImage,
    StoredImage,
    StoredNamespace,
    Target,
    is_owner,
)

#: Actions that change what this node keeps, and no image.
_ON_THE_CACHE = frozenset(
    {
        *(Action.CACHE_IMAGE, Action.CACHE_DELETE),
        *(Action.CACHE_CLEAN, Action.CACHE_PRUNE),
    }
)

#: Actions that change something, which an anonymous caller may never do.
WRITES = frozenset(
    {
        Action.ADD_IMAGE,
        Action.MODIFY_IMAGE,
        Action.PUBLICIZE_IMAGE,
        Action.COMMUNITIZE_IMAGE,
        Action.DELETE_IMAGE,
        Action.UPLOAD_IMAGE,
        Action.SET_IMAGE_LOCATION,
        Action.DELETE_IMAGE_LOCATION,
        Action.ADD_IMAGE_LOCATION,
        Action.ADD_MEMBER,
        Action.DELETE_MEMBER,
        Action.MODIFY_MEMBER,
        Action.DEACTIVATE,
        Action.REACTIVATE,
        Action.COPY_IMAGE,
        Action.ADD_METADEF_NAMESPACE,
        *_ON_THE_CACHE,
    }
)

#: Of these, the ones that only the owning project or an administrator may do,
#: whatever the rules say: rules narrow, they never widen (ruling P-4).
OWNER_ONLY = WRITES - {
    Action.ADD_IMAGE,
    Action.ADD_IMAGE_LOCATION,
    Action.MODIFY_MEMBER,
    Action.COPY_IMAGE,
    Action.ADD_METADEF_NAMESPACE,
    *_ON_THE_CACHE,
}

#: Actions on a namespace that change nothing; all others are its owner's alone.
METADEF_READS = frozenset(
    action
    for action in Action
    if "_metadef_" in action and action.startswith(("get_", "list_"))
)


def refusal(caller: Caller, action: Action, target: Target) -> ImageRegError | None:
    """Return why ownership forbids what the rules allow, or None."""
    if isinstance(target, ProposedImage):
        return _refuse_owner(caller, target.owner)
    if isinstance(target, StoredImage) and not _owns(caller, action, target):
        return NotOwner(f"only the owner may complete {action} action")
    if isinstance(target, StoredNamespace):
        return _refuse_editor(caller, action, target)
    return None


def _owns(caller: Caller, action: Action, target: StoredImage) -> bool:
    """Return whether ownership allows the action, whatever the rules say (P-4)."""
    if caller.is_admin or action not in WRITES:
        return True
    if action == Action.MODIFY_MEMBER:
        return target.membership is not None
    return action not in OWNER_ONLY or is_owner(caller, target.image)


def _refuse_owner(caller: Caller, owner: str | None) -> ImageRegError | None:
    """Return why the caller may not create an image for this owner, or None.

    Source: ruling P-3; auth 7.
    """
    if caller.is_admin:
        return None
    if caller.project_id is None:
        return Forbidden("creating an image needs a project")
    if owner != caller.project_id:
        return NotOwner("only an administrator creates images for other projects")
    return None


def _refuse_editor(
    caller: Caller, action: Action, target: StoredNamespace
) -> ImageRegError | None:
    """Return why the caller may not change a namespace that the rules open, or None.

    Rules narrow and never widen, for definitions as for images (P-4): without this,
    the origin's policy file would let everybody rewrite what all projects read.
    """
    if action in METADEF_READS or caller.is_admin:
        return None
    if caller.read_only:
        return ReadOnlyCaller("read-only access")
    if not target.is_owner(caller):
        return NotOwner(f"only the owner may complete {action} action")
    return None
