//! `wattle invite`, and how a token is read.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use wattle_contracts::id::{AppName, InviteKey};
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::{Invitation, InvitationBody, Invited, Signs as _, Token};
use wattle_mesh::net::{JoinTarget, WallClock};

use super::output::{print, when};
use super::up::label;
use crate::home;

/// As what somebody comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum As {
    /// A node.
    Node,
    /// An operator of some apps (`--app`).
    Operator,
    /// An operator who only looks.
    Viewer,
}

/// Makes an invitation: one line with all that a new machine, or a new operator, needs. Needs the
/// mesh's private key and no network.
#[derive(Args)]
pub(super) struct Invite {
    /// As what.
    #[arg(long = "role", value_enum, value_name = "ROLE", default_value = "node")]
    invited: As,
    /// Labels that a node that comes by it has, whatever it says: KEY=VALUE[,KEY=VALUE…].
    /// Repeatable.
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,
    /// An app that the operator may declare. Repeatable.
    #[arg(long = "app", value_name = "APP")]
    apps: Vec<AppName>,
    /// How many may come by it.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(Invitation::MAX_USES)))]
    uses: u32,
    /// How long one may come by it: 30m, 12h, 7d.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = span)]
    expires: Duration,
    /// How long the paper of a node that came by it is valid: 12h, 90d. Without end, if it is left
    /// out; see: wattle mesh renewer.
    #[arg(long, value_name = "TIME", value_parser = span)]
    papers: Option<Duration>,
    /// A node of the mesh to begin with: HOST:PORT or a multiaddress. Repeatable. Not needed on a
    /// network with multicast.
    #[arg(long, value_name = "ADDRESS")]
    join: Vec<JoinTarget>,
    /// The mesh's private key.
    #[arg(long, value_name = "FILE", default_value = "mesh.key")]
    key: PathBuf,
    /// Draw the QR code, even where nobody looks at a terminal.
    #[arg(long)]
    qr: bool,
}

impl Invite {
    pub(super) fn run(self) -> Result<()> {
        let authority = home::read_authority(&self.key)?;
        let key = SigningKey::generate()?;
        let issued = WallClock::default().now();
        let invited = match self.invited {
            As::Node | As::Viewer if !self.apps.is_empty() => {
                bail!("--app is for operators: --role operator")
            }
            As::Node => Invited::Node,
            As::Operator | As::Viewer if self.papers.is_some() => bail!("--papers is for nodes"),
            As::Operator if self.apps.is_empty() => {
                bail!(
                    "which apps may the operator declare? Say --app (an admin is made by name: \
                       wattle operator add --admin)"
                )
            }
            As::Operator | As::Viewer => Invited::Operator(self.apps.into_iter().collect()),
        };
        let body = InvitationBody {
            mesh: authority.mesh(),
            key: InviteKey::from_bytes(key.public()),
            invited,
            labels: self.labels.into_iter().collect(),
            uses: self.uses,
            issued,
            expires: issued.plus(self.expires),
            papers: self.papers,
        };
        let (id, uses, expires) = (body.key, body.uses, body.expires);
        let verb = match body.invited {
            Invited::Node => "wattle up --invite TOKEN",
            Invited::Operator(_) => "wattle operator accept TOKEN",
        };
        let join = self.join.iter().map(ToString::to_string).collect();
        let token = Token::new(Invitation::sign(&authority, body)?, &key, join)?.to_text()?;
        print(&format!("{token}\n"))?;
        if self.qr || std::io::stdout().is_terminal() {
            print(&format!("\n{}\n", drawn(&token)?))?;
        }
        // Apart from the token, so that that can be piped on.
        eprintln!(
            "{id}: for {uses}, until {}; there: {verb}\nwhoever has this line can use it; to take \
             it back: wattle revoke {id}",
            when(expires.0)
        );
        Ok(())
    }
}

/// The QR code of a text, in half blocks.
fn drawn(text: &str) -> Result<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .context("the token does not fit into a QR code")?;
    Ok(code.render::<Dense1x2>().quiet_zone(true).build())
}

/// A token that is said itself, or is in a file, or (`-`) on standard input.
pub(super) fn read_token(said: &str) -> Result<Token> {
    let text = match said {
        "-" => {
            let mut text = String::new();
            let mut input = std::io::stdin().lock().take(64 * 1024);
            input
                .read_to_string(&mut text)
                .context("can't read the invitation from standard input")?;
            text
        }
        _ if said.starts_with("wattle-invite:") => said.into(),
        path => std::fs::read_to_string(Path::new(path))
            .with_context(|| format!("`{path}` is neither an invitation nor a file with one"))?,
    };
    Ok(Token::from_text(&text)?)
}

/// A number with its unit: s, m, h or d.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number and its unit: 30m, 12h, 7d".to_string();
    let unit = text.chars().last().ok_or_else(expected)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(expected()),
    };
    let number: u32 =
        text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(expected)?;
    match number {
        0 => Err("nothing takes no time".into()),
        _ => Ok(Duration::from_secs(u64::from(number) * seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_unit() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for bad in ["", "7", "d", "0h", "-1h", "1w", "99999999999d", "é"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_of_the_usual_size_has_a_picture() {
        let picture = drawn(&format!("wattle-invite:{}", "x".repeat(700))).unwrap();
        assert!(picture.lines().count() > 20, "{picture}");
    }
}
