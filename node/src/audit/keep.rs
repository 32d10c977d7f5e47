//! The end of the log, to which entries are added.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use wattle_contracts::audit::{Chain, Happening, Head, Header};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::UnixMillis;

use super::files::{Folder, SignedHead};
use crate::home;

/// A file that is longer is followed by another one.
const FILE: u64 = 4 << 20;

/// The log, open at its end.
pub(super) struct Keep {
    folder: Folder,
    key: Arc<SigningKey>,
    node: NodeId,
    chain: Chain,
    file: File,
    /// The length of the file, in bytes.
    length: u64,
    /// The most that is kept, in bytes.
    limit: u64,
}

/// What was found when the log was opened.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// What is wrong with it.
    pub(super) problems: Vec<String>,
    /// How far the logs of others reached.
    pub(super) witnessed: BTreeMap<NodeId, Head>,
}

impl Keep {
    /// Opens the log, and checks its last file.
    pub(super) fn open(folder: Folder, key: Arc<SigningKey>, limit: u64) -> Result<(Self, Opened)> {
        folder.make()?;
        let node = home::node_id(&key);
        let mut opened = Opened::default();
        let (chain, at) = match folder.files()?.pop() {
            Some(path) => Self::resume(&path, node, &mut opened)
                .with_context(|| format!("can't read the audit log {}", path.display()))?,
            None => (Chain::begin(node), None),
        };
        check_signed(&folder, &chain, node, &mut opened.problems);
        let (file, length) = match at {
            Some(at) => at,
            None => folder.begin(&Header { node, after: chain.head() })?,
        };
        Ok((Self { folder, key, node, chain, file, length, limit }, opened))
    }

    /// Goes on in the file at `path`, or behind it, where it was damaged.
    fn resume(
        path: &Path,
        node: NodeId,
        opened: &mut Opened,
    ) -> Result<(Chain, Option<(File, u64)>)> {
        let bytes = fs::read(path)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let text = String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default());
        let mut lines = text.lines();
        let before = opened.problems.len();
        let header = lines.next().unwrap_or_default().parse::<Header>();
        let mut chain = match header {
            Ok(header) if header.node == node => Chain::after(header.after),
            Ok(header) => {
                let other = header.node;
                opened.problems.push(format!("{}: it is the log of {other}", path.display()));
                Chain::after(header.after)
            }
            Err(why) => {
                opened.problems.push(format!("{}: {why}", path.display()));
                begun_by_name(path, node)
            }
        };
        for line in lines {
            match chain.follow(line) {
                Ok(entry) => {
                    if let Some(Happening::Witnessed { node, number, hash }) = entry.happening() {
                        opened.witnessed.insert(node, Head { number, hash });
                    }
                }
                Err(broken) => {
                    opened.problems.push(format!("{}: {broken}", path.display()));
                    chain.skip(line);
                }
            }
        }
        if opened.problems.len() > before {
            // As it is, for whoever looks into it.
            return Ok((chain, None));
        }
        let mut file = OpenOptions::new().write(true).open(path)?;
        let torn = bytes.len() - whole;
        if torn > 0 {
            let why = format!("the last entry was not written to its end: {torn} bytes taken out");
            opened.problems.push(why);
            file.set_len(whole as u64)?;
        }
        file.seek(SeekFrom::End(0))?;
        Ok((chain, Some((file, whole as u64))))
    }

    pub(super) fn head(&self) -> Head {
        self.chain.head()
    }

    /// Adds entries, all or none of them. They outlive this process at once, and a failure of the
    /// machine after [`Keep::sync`].
    pub(super) fn add(&mut self, at: UnixMillis, happenings: &[Happening]) -> Result<()> {
        self.make_room(at)?;
        self.append(at, happenings)
    }

    /// Adds a signature over everything so far.
    pub(super) fn checkpoint(&mut self, at: UnixMillis) -> Result<()> {
        // Before it is signed: an entry may come to stand here.
        self.make_room(at)?;
        let signature = self.head().sign(&self.key).context("the head can't be signed")?;
        self.append(at, &[Happening::Checkpoint { signature }])
    }

    fn append(&mut self, at: UnixMillis, happenings: &[Happening]) -> Result<()> {
        let mut chain = self.chain;
        let mut text = String::new();
        for happening in happenings {
            text.push_str(&chain.append(at, happening)?);
            text.push('\n');
        }
        self.write(&text, chain)
    }

    /// Makes what was added outlive a failure of the machine, and signs how far it reaches.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.file.sync_data()?;
        let signed = SignedHead::new(&self.key, self.head()).context("it can't be signed")?;
        self.folder.keep_signed(&signed)
    }

    fn write(&mut self, text: &str, after: Chain) -> Result<()> {
        let written = self.file.write_all(text.as_bytes());
        if let Err(error) = written {
            // A part of an entry must not stand before the next one.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error.into());
        }
        self.length += text.len() as u64;
        self.chain = after;
        Ok(())
    }

    /// Goes on in another file where this one is full, and takes out the oldest ones if there are too
    /// many.
    fn make_room(&mut self, at: UnixMillis) -> Result<()> {
        if self.length < FILE {
            return Ok(());
        }
        self.file.sync_data()?;
        let header = Header { node: self.node, after: self.head() };
        (self.file, self.length) = self.folder.begin(&header)?;
        let files = self.folder.files()?;
        let lengths = files.iter().map(|path| Ok(fs::metadata(path)?.len()));
        let mut kept: u64 = lengths.sum::<std::io::Result<u64>>()?.saturating_sub(self.length);
        // The oldest first, each with the one that follows; never the one that was begun just now.
        for pair in files.windows(2) {
            let [oldest, next] = pair else { break };
            if kept + FILE <= self.limit {
                break;
            }
            kept = kept.saturating_sub(fs::metadata(oldest)?.len());
            // Said before it is done: what is missing has an entry that says so.
            if let Some(Header { after, .. }) = header_of(next) {
                let Head { number: through, hash } = after;
                self.append(at, &[Happening::Dropped { through, hash }])?;
                self.file.sync_data()?;
            }
            fs::remove_file(oldest)?;
        }
        Ok(())
    }
}

/// The header of the file at `path`.
fn header_of(path: &Path) -> Option<Header> {
    use std::io::{BufRead as _, BufReader};
    let mut line = String::new();
    BufReader::new(File::open(path).ok()?).read_line(&mut line).ok()?;
    line.trim_end().parse().ok()
}

/// The chain before a file whose header can't be read: its name says the number, nothing says the
/// hash.
fn begun_by_name(path: &Path, node: NodeId) -> Chain {
    let first = super::files::first_of(path).unwrap_or(1);
    let begin = Chain::begin(node);
    match first {
        0 | 1 => begin,
        first => Chain::after(Head { number: first - 1, ..begin.head() }),
    }
}

/// Whether the log reaches as far as the node had signed that it does.
fn check_signed(folder: &Folder, chain: &Chain, node: NodeId, problems: &mut Vec<String>) {
    let signed = match folder.signed() {
        Ok(Some(signed)) => signed,
        Ok(None) if chain.head().number == 0 => return,
        Ok(None) => return problems.push("what the node had signed of its log is missing".into()),
        Err(error) => return problems.push(format!("{error:#}")),
    };
    let head = chain.head();
    match signed.genuine() {
        Some(said) if signed.node == node && said.number <= head.number => {}
        Some(said) if signed.node == node => problems.push(format!(
            "it ends with entry {}, and this node had signed that it reached entry {}: entries were \
             taken out at its end",
            head.number, said.number
        )),
        _ => problems.push("what should be the node's signature of its log is none".into()),
    }
}
