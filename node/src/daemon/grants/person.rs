//! Calls of people, which their own keys have signed: whatever node brings them, this one goes by
//! the records of who may what.

use std::sync::PoisonError;

use wattle_contracts::call::{CallError, CallRoute, PersonAsks, PersonProof};
use wattle_contracts::record::{Missing, Rule};
use wattle_mesh::net::WallClock;

use super::End;
use crate::daemon::node::Node;

impl Node {
    /// Takes a call that a person has signed for this node, and gives back its arguments.
    pub(crate) fn person_arrives<'p>(
        &self,
        route: &CallRoute,
        payload: &'p [u8],
    ) -> Result<&'p str, CallError> {
        self.check_person(route, payload)
            .map_err(|why| self.denied_route(End::In, route, &Missing::new(Rule::Operator, why)))
    }

    fn check_person<'p>(&self, route: &CallRoute, payload: &'p [u8]) -> Result<&'p str, String> {
        let (proof, arguments) = PersonProof::read(payload).map_err(|error| error.to_string())?;
        let mesh = self.mesh_started().map_err(|error| error.message)?;
        let asks = PersonAsks {
            mesh: mesh.mesh_id(),
            to: self.id(),
            target: &route.target,
            contract: &route.contract,
            function: &route.function,
            arguments,
        };
        let key = proof.key;
        if !proof.proves(&asks) {
            return Err(format!("{key} has not signed this call for this node"));
        }
        match mesh.rights().role(&key) {
            Some(role) if role.covers(&route.target.app) => {}
            Some(role) => return Err(format!("{key} is no more than {role}")),
            None => return Err(format!("{key} is no operator of this mesh (any more)")),
        }
        let mut once = self.grants().people.lock().unwrap_or_else(PoisonError::into_inner);
        once.take(WallClock::default().now(), key, proof.at, proof.nonce)
            .map_err(|refusal| format!("the call that {key} has signed is not taken: {refusal}"))?;
        Ok(arguments)
    }
}
