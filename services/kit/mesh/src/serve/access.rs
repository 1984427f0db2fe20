//! Who may call: the rule in the .proto file against the caller in the headers.

use gyre_model::catalog::{Access, MethodInfo};
use gyre_model::{Caller, Error, Kind, Result};

use super::Peer;
use crate::reason;

/// What agents may ask of each other.
const BETWEEN_AGENTS: [&str; 1] = ["/gyre.agent.v1.AgentService/ReadImage"];

/// What to tell who is not signed in.
pub(super) fn nobody() -> Error {
    Error::new(Kind::Unauthenticated, reason::NOT_SIGNED_IN, "sign in first: send a token or an API key")
}

/// Whether a caller may make a call. What a caller sees of what it reads is not decided here.
pub(super) fn check(info: &MethodInfo, peer: Option<Peer>, caller: Option<&Caller>) -> Result<()> {
    match (info.access, caller) {
        (Access::Public, _) => Ok(()),
        (Access::Internal, _) if peer.is_some_and(Peer::is_member) => Ok(()),
        (Access::Internal, _) if peer == Some(Peer::Agent) && BETWEEN_AGENTS.contains(&info.path) => Ok(()),
        (Access::Internal, _) => {
            let text = format!("{} is for members of the mesh only", info.path);
            Err(Error::new(Kind::PermissionDenied, reason::MESH_ONLY, text))
        }
        (Access::Account | Access::Unspecified | Access::Admin, None) => Err(nobody()),
        (Access::Admin, Some(caller)) if !caller.admin => {
            let text = format!("{} is for administrators", info.path);
            Err(Error::new(Kind::PermissionDenied, reason::ADMIN_ONLY, text).with("action", info.action))
        }
        (Access::Account | Access::Unspecified | Access::Admin, Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use gyre_model::{Uuid, catalog};

    use super::*;

    #[test]
    fn every_rule_against_every_caller() {
        let admin = Caller::system();
        let user = Caller::of(Uuid::new_v4(), false);
        let mesh = Some(Peer::InProcess);
        for (path, who, refused) in [
            ("/gyre.identity.v1.SessionService/CreateSession", None, None),
            ("/gyre.host.v1.ZoneService/GetZone", None, Some(reason::NOT_SIGNED_IN)),
            ("/gyre.host.v1.ZoneService/GetZone", Some(&user), None),
            ("/gyre.host.v1.ZoneService/CreateZone", None, Some(reason::NOT_SIGNED_IN)),
            ("/gyre.host.v1.ZoneService/CreateZone", Some(&user), Some(reason::ADMIN_ONLY)),
            ("/gyre.host.v1.ZoneService/CreateZone", Some(&admin), None),
            ("/gyre.agent.v1.AgentService/Session", None, None),
        ] {
            let info = catalog().method(path).unwrap();
            let answer = check(info, mesh, who).err();
            assert_eq!(answer.as_ref().map(Error::reason), refused, "{path} for {who:?}");
        }
        let session = catalog().method("/gyre.agent.v1.AgentService/Session").unwrap();
        let image = catalog().method("/gyre.agent.v1.AgentService/ReadImage").unwrap();
        assert!(check(image, Some(Peer::Agent), None).is_ok());
        assert_eq!(check(session, Some(Peer::Agent), None).unwrap_err().reason(), reason::MESH_ONLY);
        assert_eq!(check(session, None, Some(&admin)).unwrap_err().reason(), reason::MESH_ONLY);
    }
}
