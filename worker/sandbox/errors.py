"""Why a sandbox does not work on this host, and what its owner can do about it."""

from typing import Final

USER_NAMESPACE_FIX: Final = (
    "this host does not let ordinary programs create user namespaces. Ubuntu 24.04 and later restrict them: "
    "run `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0` (and put that line under "
    "/etc/sysctl.d), or give bwrap an AppArmor profile with the rule `userns,`. On other systems: "
    "`sudo sysctl user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1`"
)
_NAMESPACE_SIGNS: Final = (
    "no permissions to create new namespace",
    "no permissions to create a new namespace",
    "setting up uid map",
    "creating new namespace failed",
    "user namespace",
    "rtm_newaddr",
)


class SandboxError(Exception):
    """The sandbox could not do what it must."""


class SandboxUnavailable(SandboxError):
    """Nothing may run on this host as it is; the message names the fix."""


def explain(stderr: str) -> str:
    """What bwrap said, and the fix where the cause is known."""
    said = stderr.strip()[-800:]
    if any(sign in said.lower() for sign in _NAMESPACE_SIGNS):
        return f"{USER_NAMESPACE_FIX} (bwrap said: {said})"
    return f"bwrap said: {said}"
