"""Share images with other projects.  Source: contract api-images 20, policy 6 and 7."""

from collections.abc import Sequence
from dataclasses import dataclass

from imagereg.access import Grant
from imagereg.db.members import MemberRepository
from imagereg.images.limits import Limits
from imagereg.model import Member, MemberStatus
from imagereg.policy.actions import Action
from imagereg.states import check
from imagereg.targets import is_owner


@dataclass(frozen=True, slots=True)
class Members:
    """The use cases, bound to what they work on."""

    members: MemberRepository
    limits: Limits

    def list(self, grant: Grant) -> Sequence[Member]:
        """Return the members that the caller may see: a member sees itself alone.

        Raises:
            Forbidden: the image is not shared.
        """
        check(grant.caller, Action.GET_MEMBERS, grant.image)
        if not grant.allows(Action.GET_MEMBER):
            return ()
        found = self.members.list(grant.image.id)
        if grant.caller.is_admin or is_owner(grant.caller, grant.image):
            return found
        return [each for each in found if each.member_id == grant.caller.project_id]

    def show(self, grant: Grant, member_id: str) -> Member:
        """Return one member.

        Raises:
            MemberNotFound: it is none, not the caller's to see, or nothing is shared.
        """
        grant.check_member(member_id)
        check(grant.caller, Action.GET_MEMBER, grant.image, member_id)
        return self.members.get(grant.image.id, member_id)

    def add(self, grant: Grant, member_id: str) -> Member:
        """Share the image with a project, which has yet to accept.

        Raises:
            Forbidden: the image is not shared.
            Duplicate: the project is a member already.
            TooLarge: the image has as many members as it may.
        """
        check(grant.caller, Action.ADD_MEMBER, grant.image)
        return self.members.add(grant.image.id, member_id, self.limits.members)

    def set_status(self, grant: Grant, member_id: str, status: MemberStatus) -> Member:
        """Write what a member says to the image, on its own behalf.

        Raises:
            Forbidden: the image is not shared, or the entry is another project's.
            MemberNotFound: the project is no member.
        """
        check(grant.caller, Action.MODIFY_MEMBER, grant.image)
        grant.check_own_membership(member_id)
        return self.members.set_status(grant.image.id, member_id, status)

    def remove(self, grant: Grant, member_id: str) -> None:
        """End a membership.

        Raises:
            Forbidden: the image is not shared.
            MemberNotFound: the project is no member.
        """
        check(grant.caller, Action.DELETE_MEMBER, grant.image)
        self.members.remove(grant.image.id, member_id)
