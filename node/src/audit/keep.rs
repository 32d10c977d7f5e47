//! The end of the log, to which entries are added.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
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
    /// The files before it, with their lengths in bytes.
    older: Vec<(PathBuf, u64)>,
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
        let mut older = Vec::new();
        for path in folder.files()? {
            let length = fs::metadata(&path)?.len();
            older.push((path, length));
        }
        let (chain, at) = match older.pop() {
            Some((path, length)) => Self::resume(&path, length, node, &mut opened)
                .with_context(|| format!("can't read the audit log {}", path.display()))?,
            None => (Chain::begin(node), None),
        };
        check_signed(&folder, &chain, node, &mut opened.problems);
        let (file, length) = match at {
            Some(at) => at,
            None => folder.begin(&Header { node, after: chain.head() })?,
        };
        Ok((Self { folder, key, node, chain, file, length, older, limit }, opened))
    }

    /// Goes on in the file at `path`, or behind it, where it was damaged.
    fn resume(
        path: &Path,
        length: u64,
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
        if (whole as u64) < length {
            let torn = length - whole as u64;
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
        if self.length >= FILE {
            self.turn(at)?;
        }
        let mut chain = self.chain;
        let mut text = String::new();
        for happening in happenings {
            text.push_str(&chain.append(at, happening)?);
            text.push('\n');
        }
        self.write(&text, chain)
    }

    /// Adds a signature over everything so far.
    pub(super) fn checkpoint(&mut self, at: UnixMillis) -> Result<()> {
        // Turning to another file may add an entry, which would stand between.
        if self.length >= FILE {
            self.turn(at)?;
        }
        let signature = self.head().sign(&self.key).context("the head can't be signed")?;
        self.add(at, &[Happening::Checkpoint { signature }])
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

    /// Goes on in another file, and takes out the oldest ones if there are too many.
    fn turn(&mut self, at: UnixMillis) -> Result<()> {
        self.file.sync_data()?;
        let after = self.head();
        let full = self.folder.files()?.pop();
        let (file, length) = self.folder.begin(&Header { node: self.node, after })?;
        self.older.extend(full.map(|path| (path, self.length)));
        (self.file, self.length) = (file, length);
        let mut kept: u64 = self.older.iter().map(|(_, length)| length).sum();
        while kept + FILE > self.limit && !self.older.is_empty() {
            let (path, length) = self.older.remove(0);
            let next = self
                .older
                .first()
                .map_or_else(|| self.folder.files(), |(next, _)| Ok(vec![next.clone()]));
            let through = next?.first().and_then(|next| header_of(next)).map(|header| header.after);
            // Said before it is done: what is missing has an entry that says so.
            if let Some(Head { number: through, hash }) = through {
                self.append_one(at, &Happening::Dropped { through, hash })?;
                self.file.sync_data()?;
            }
            fs::remove_file(&path)?;
            kept -= length;
        }
        Ok(())
    }

    fn append_one(&mut self, at: UnixMillis, happening: &Happening) -> Result<()> {
        let mut chain = self.chain;
        let line = chain.append(at, happening)? + "\n";
        self.write(&line, chain)
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
