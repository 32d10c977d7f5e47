//! The one line that carries all a new machine or a new operator needs.

use serde::{Deserialize, Serialize};

use super::{Invitation, InvitationError};
use crate::key::{KeyError, SigningKey};
use crate::wire;

/// An invitation with its private key, and where to find the mesh. Whoever has it can use it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The invitation.
    pub invitation: Invitation,
    seed: [u8; 32],
    /// Nodes to begin with: `HOST:PORT` or a multiaddress. None where multicast finds them.
    pub join: Vec<String>,
}

/// Why a text is not a token, or not one that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is not what `wattle invite` printed.
    #[error("not an invitation: {0}")]
    Malformed(String),
    /// The invitation in it is no good.
    #[error("the invitation is no good: {0}")]
    Invitation(#[from] InvitationError),
    /// The key in it is none.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Token {
    /// How many addresses one carries at most.
    pub const MAX_JOIN: usize = 8;

    /// The longest address, in bytes.
    pub const MAX_ADDRESS: usize = 128;

    const PREFIX: &'static str = "wattle-invite:";

    /// A token of `invitation`, whose private key is `key`.
    pub fn new(
        invitation: Invitation,
        key: &SigningKey,
        join: Vec<String>,
    ) -> Result<Self, TokenError> {
        let token = Self { invitation, seed: *key.seed(), join };
        token.check()?;
        Ok(token)
    }

    /// The invitation's private key.
    pub fn key(&self) -> Result<SigningKey, TokenError> {
        Ok(SigningKey::from_seed(self.seed)?)
    }

    fn check(&self) -> Result<(), TokenError> {
        let error = |why: String| Err(TokenError::Malformed(why));
        self.invitation.verify(self.invitation.body.mesh)?;
        if self.key()?.public() != *self.invitation.body.key.as_bytes() {
            return error("its key is not the invitation's".into());
        }
        let is_long = |address: &String| address.len() > Self::MAX_ADDRESS;
        if self.join.len() > Self::MAX_JOIN || self.join.iter().any(is_long) {
            let (most, longest) = (Self::MAX_JOIN, Self::MAX_ADDRESS);
            return error(format!("it carries at most {most} addresses of {longest} bytes"));
        }
        Ok(())
    }

    /// The text form: one line, with a checksum.
    pub fn to_text(&self) -> Result<String, TokenError> {
        let bytes = wire::encode(self).map_err(|error| TokenError::Malformed(error.to_string()))?;
        Ok(format!("{}{}", Self::PREFIX, bs58::encode(bytes).with_check().into_string()))
    }

    /// Reads what [`Token::to_text`] wrote, and checks that the authority of the mesh that it
    /// names signed the invitation in it.
    pub fn from_text(text: &str) -> Result<Self, TokenError> {
        let malformed = TokenError::Malformed;
        let body = text.trim().strip_prefix(Self::PREFIX).ok_or_else(|| {
            malformed(format!("expected text that starts with `{}`", Self::PREFIX))
        })?;
        let bytes = bs58::decode(body).with_check(None).into_vec().map_err(|_| {
            malformed("a character is wrong or missing (its checksum fails)".into())
        })?;
        let token: Self = wire::decode(&bytes).map_err(|error| malformed(error.to_string()))?;
        token.check()?;
        Ok(token)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { invitation, join, .. } = self;
        let mut shown = f.debug_struct("Token");
        shown.field("invitation", invitation).field("join", join).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::id::{InviteKey, MeshId};
    use crate::record::Labels;
    use crate::trust::{InvitationBody, Invited, UnixMillis};

    fn token(uses: u32, label: &str, join: Vec<String>) -> Result<Token, TokenError> {
        let authority = SigningKey::from_seed([3; 32]).unwrap();
        let key = SigningKey::from_seed([9; 32]).unwrap();
        let body = InvitationBody {
            mesh: MeshId::from_bytes(authority.public()),
            key: InviteKey::from_bytes(key.public()),
            invited: Invited::Node,
            labels: Labels::from([("role".into(), label.into())]),
            uses,
            issued: UnixMillis(1),
            expires: UnixMillis(2),
            papers: Some(Duration::from_secs(60)),
        };
        Token::new(Invitation::sign(&authority, body)?, &key, join)
    }

    #[test]
    fn its_private_half_is_never_shown() {
        let token = token(1, "x", vec!["192.0.2.1:4747".into()]).unwrap();
        assert!(!format!("{token:?}").contains("seed"));
    }

    #[test]
    fn what_is_out_of_bounds_is_not_made() {
        assert!(token(0, "x", Vec::new()).is_err());
        assert!(token(1, &"x".repeat(65), Vec::new()).is_err());
        assert!(token(1, "x", vec![String::new(); 9]).is_err());
        assert!(token(1, "x", vec!["x".repeat(129)]).is_err());
    }

    #[test]
    fn one_with_the_key_of_another_is_refused() {
        let good = token(1, "x", Vec::new()).unwrap();
        let swapped = Token { seed: [8; 32], ..good };
        let text = swapped.to_text().unwrap();
        let error = Token::from_text(&text).unwrap_err().to_string();
        assert!(error.contains("not the invitation's"), "{error}");
    }

    proptest! {
        #[test]
        fn a_token_survives_its_text_and_a_changed_one_is_refused(
            uses in 1u32..1000,
            label in "[a-z]{1,20}",
            join in prop::collection::vec("[a-z0-9.:]{1,30}", 0..4),
            at in any::<prop::sample::Index>(),
        ) {
            let token = token(uses, &label, join).unwrap();
            let text = token.to_text().unwrap();
            prop_assert_eq!(&Token::from_text(&text).unwrap(), &token);
            let mut changed: Vec<char> = text.chars().collect();
            let at = at.index(changed.len());
            changed[at] = if changed[at] == '2' { '3' } else { '2' };
            prop_assert!(Token::from_text(&changed.into_iter().collect::<String>()).is_err());
        }

        #[test]
        fn no_text_makes_reading_panic(text in ".*", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Token::from_text(&text);
            let body = bs58::encode(bytes).with_check().into_string();
            let _ = Token::from_text(&format!("wattle-invite:{body}"));
        }
    }
}
