//! Who says what at the door, and in which order: the dialler's and the listener's side of what
//! [`wattle_contracts::wire::Greeting`] describes.
//!
//! Nothing that tells of the mesh leaves a node before the peer has shown that it knows the mesh
//! already, on either side. The driver does what a [`Step`] says, and judges papers.

use wattle_contracts::id::{MeshId, NodeId};
use wattle_contracts::wire::{
    Greeting, Hello, Knock, MAX_HELLO, MAX_KNOCK, NOT_OF_THIS_MESH, VERSION,
};

/// Which side of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that connects, and knocks first.
    Dialler,
    /// The one that is connected to.
    Listener,
}

/// What is to come from the peer next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Knock,
    Hello,
    /// Nothing: its paper is being looked at.
    Judgement,
    Verdict,
    Over,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Say this, then hear.
    Say(Greeting),
    /// Show this node's own paper, then hear.
    Show,
    /// Hear what the peer says: at most [`Admission::limit`] bytes, for [`Admission::came`].
    Hear,
    /// Look at what the peer has shown. [`Admission::found_good`] if it is good.
    Judge(Box<Hello>),
    /// Both belong here: say so, and it is over.
    Admit,
    /// Both belong here, and the peer has said so.
    In,
    /// The peer refuses, for this reason.
    Out(String),
}

/// Why a peer comes no further, before its paper was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwelcome {
    /// It does not know the mesh.
    #[error(
        "it does not know the id of this node's mesh: it belongs to another mesh, or to none; if it \
         should belong to this one, compare what `wattle nodes` prints first on both"
    )]
    Stranger,
    /// It knows the mesh, and speaks otherwise.
    #[error(
        "it speaks version {theirs} of the protocol, this node version {ours}: update the older one"
    )]
    Version {
        /// The peer's.
        theirs: u16,
        /// This node's.
        ours: u16,
    },
    /// What it said is not what comes next.
    #[error("what it said is not what comes next")]
    OutOfTurn,
}

impl Unwelcome {
    /// The same, as the peer is told: the other way round.
    fn told(self) -> String {
        match self {
            Unwelcome::Version { theirs, ours } => {
                Unwelcome::Version { theirs: ours, ours: theirs }.to_string()
            }
            Unwelcome::Stranger => NOT_OF_THIS_MESH.into(),
            Unwelcome::OutOfTurn => self.to_string(),
        }
    }
}

/// One side of one admission.
#[derive(Debug)]
pub struct Admission {
    mesh: MeshId,
    me: NodeId,
    them: NodeId,
    role: Role,
    stage: Stage,
    /// Whether the peer has shown that it knows the mesh.
    knows: bool,
}

impl Admission {
    /// Between `me` and `them`, as TLS has proved both.
    pub fn new(role: Role, mesh: MeshId, me: NodeId, them: NodeId) -> Self {
        Self { mesh, me, them, role, stage: Stage::Knock, knows: false }
    }

    /// What to begin with.
    pub fn begin(&self) -> Step {
        match self.role {
            Role::Dialler => Step::Say(self.knock()),
            Role::Listener => Step::Hear,
        }
    }

    /// The most that is read of what comes next, in bytes.
    pub fn limit(&self) -> usize {
        match self.knows {
            true => MAX_HELLO,
            false => MAX_KNOCK,
        }
    }

    /// The peer has said this. After an error nothing of it is heard any more.
    pub fn came(&mut self, said: Greeting) -> Result<Step, Unwelcome> {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        match (stage, said) {
            (Stage::Knock, Greeting::Refused { reason }) if self.role == Role::Dialler => {
                Ok(Step::Out(reason))
            }
            (Stage::Hello | Stage::Verdict, Greeting::Refused { reason }) => Ok(Step::Out(reason)),
            (Stage::Knock, Greeting::Knock(knock)) => {
                self.hear_knock(&knock)?;
                self.stage = Stage::Hello;
                Ok(match self.role {
                    Role::Dialler => Step::Show,
                    Role::Listener => Step::Say(self.knock()),
                })
            }
            (Stage::Hello, Greeting::Hello(hello)) => {
                self.stage = Stage::Judgement;
                Ok(Step::Judge(hello))
            }
            (Stage::Verdict, Greeting::Admitted) => Ok(Step::In),
            // It has had its turn to show that it knows the mesh.
            (Stage::Knock, _) => Err(Unwelcome::Stranger),
            _ => Err(Unwelcome::OutOfTurn),
        }
    }

    /// What the peer has shown is good.
    pub fn found_good(&mut self) -> Result<Step, Unwelcome> {
        match (std::mem::replace(&mut self.stage, Stage::Over), self.role) {
            (Stage::Judgement, Role::Dialler) => Ok(Step::Admit),
            (Stage::Judgement, Role::Listener) => {
                self.stage = Stage::Verdict;
                Ok(Step::Show)
            }
            _ => Err(Unwelcome::OutOfTurn),
        }
    }

    /// What the peer is told when it comes no further, for whatever reason stands in this node's own
    /// log: nothing, as long as it has not shown that it knows the mesh.
    pub fn refusal(&self, why: &str) -> Greeting {
        if !self.knows {
            return Greeting::stranger();
        }
        // It knows the mesh's id, and that is no reason to write it into the log of a stranger. The
        // first key of the authority is the same number.
        let id = self.mesh.to_string();
        let reason = why.replace(&id, "this mesh");
        let number = id.rsplit(':').next().unwrap_or(&id);
        Greeting::Refused { reason: reason.replace(number, "…") }
    }

    /// The same, where it is turned away for one of these.
    pub fn turned_away(&self, why: Unwelcome) -> Greeting {
        self.refusal(&why.told())
    }

    fn knock(&self) -> Greeting {
        Greeting::Knock(Knock::new(self.mesh, self.me, self.them))
    }

    fn hear_knock(&mut self, knock: &Knock) -> Result<(), Unwelcome> {
        if !knock.is_of(self.mesh, self.them, self.me) {
            return Err(Unwelcome::Stranger);
        }
        self.knows = true;
        match knock.version {
            VERSION => Ok(()),
            theirs => Err(Unwelcome::Version { theirs, ours: VERSION }),
        }
    }
}

#[cfg(test)]
mod tests;
