//! `wattle logs`.

use anyhow::Result;
use clap::Args;
use futures::StreamExt as _;

use super::NodeArgs;
use super::output::print;
use crate::daemon::LogLine;

#[derive(Args)]
pub(super) struct LogsVerb {
    /// An app or a component; all of them if it is left out.
    #[arg(value_name = "APP[/COMPONENT]")]
    of: Option<String>,
    /// Wait for new lines.
    #[arg(short, long)]
    follow: bool,
    /// How many old lines to show.
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: usize,
    #[command(flatten)]
    node: NodeArgs,
}

impl LogsVerb {
    pub(super) async fn run(self) -> Result<()> {
        let mut path = format!("/v1/logs?lines={}&follow={}", self.lines, self.follow);
        if let Some(of) = &self.of {
            // Names hold nothing that would need escaping; anything else is no name.
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '/';
            anyhow::ensure!(of.chars().all(plain), "`{of}` is no app or component");
            path.push_str(&format!("&of={of}"));
        }
        let lines = self.node.client()?.lines::<LogLine>(&path).await?;
        let mut lines = Box::pin(lines);
        while let Some(line) = lines.next().await {
            let line = line?;
            if self.node.json {
                print(&(serde_json::to_string(&line)? + "\n"))?;
                continue;
            }
            let context = match line.context.as_str() {
                "" => String::new(),
                context => format!("[{context}] "),
            };
            print(&format!(
                "{} {:8} {} {context}{}\n",
                clock(line.at),
                line.level,
                line.component,
                line.message
            ))?;
        }
        Ok(())
    }
}

/// The time of day (UTC).
fn clock(millis: u64) -> String {
    let (seconds, millis) = (millis / 1000 % 86_400, millis % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{millis:03}Z", seconds % 60)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_shows_the_time_of_day() {
        assert_eq!(super::clock(1_800_000_000_123), "08:00:00.123Z");
    }
}
