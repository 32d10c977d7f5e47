//! Reads logs and checks them: this node's own, or what was exported of any.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wattle_contracts::audit::{Chain, ENTRY_LIMIT, Entry, Happening, Head, Header};
use wattle_contracts::id::{Digest, NodeId};

use super::files::Folder;

/// So many problems of one log are told; more are counted.
const TOLD: usize = 50;

/// What was found in a log.
#[derive(Debug)]
pub(crate) struct Report {
    /// Whose log it is.
    pub(crate) node: NodeId,
    /// Its first entry.
    pub(crate) first: u64,
    /// Its last one.
    pub(crate) last: Head,
    /// How many signatures of the node are in it, all of them good unless a problem says otherwise.
    pub(crate) checkpoints: u64,
    /// What is wrong with it.
    pub(crate) problems: Vec<String>,
    /// How many more are.
    pub(crate) more: u64,
    hashes: BTreeMap<u64, Digest>,
    /// Whether an entry says that what is before the first one was dropped.
    is_accounted: bool,
    /// What it says of the logs of others, and in which entry.
    witnessed: Vec<(u64, NodeId, Head)>,
}

/// A line of a log.
pub(crate) struct Found<'a> {
    pub(crate) line: &'a str,
    /// The entry that it is, unless it is damaged.
    pub(crate) entry: Option<&'a Entry>,
    /// What it is chained to.
    pub(crate) before: Head,
}

impl Report {
    /// Reads the log of a node in its `folder`, and hands each entry to `each`.
    pub(crate) fn of_folder(
        folder: &Folder,
        each: impl FnMut(Found<'_>) -> Result<()>,
    ) -> Result<Self> {
        // Before the entries, which may become more meanwhile.
        let signed = folder.signed();
        let mut report = Self::of_files(&folder.files()?, each)
            .with_context(|| format!("there is no audit log in {}", folder.path().display()))?;
        match signed {
            Ok(Some(signed)) if signed.node == report.node => match signed.genuine() {
                Some(said) => report.check_signed(said),
                None => report.problem("what should be the node's signature of it is none".into()),
            },
            Ok(_) => report.problem("the node's signature of how far it reaches is missing".into()),
            Err(error) => report.problem(format!("{error:#}")),
        }
        Ok(report)
    }

    /// Reads the log that is in `files`, in this order, and hands each entry to `each`.
    pub(crate) fn of_files(
        files: &[PathBuf],
        mut each: impl FnMut(Found<'_>) -> Result<()>,
    ) -> Result<Self> {
        let mut reading: Option<(Self, Chain)> = None;
        for path in files {
            read(path, &mut reading, &mut each)
                .with_context(|| format!("can't read the audit log {}", path.display()))?;
        }
        let (mut report, chain) = reading.context("there is nothing in it")?;
        report.last = chain.head();
        report.check_beginning();
        Ok(report)
    }

    pub(crate) fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, problem: String) {
        match self.problems.len() < TOLD {
            true => self.problems.push(problem),
            false => self.more += 1,
        }
    }

    /// The log's node had signed that it reached so far.
    fn check_signed(&mut self, said: Head) {
        let (last, number) = (self.last.number, said.number);
        if number > last {
            self.problem(format!(
                "it ends with entry {last}, and its node had signed that it reached entry {number}: \
                 entries were taken out at its end"
            ));
        } else if number >= self.first && self.hashes.get(&number) != Some(&said.hash) {
            self.problem(format!("its node had signed another entry {number} than there is now"));
        }
    }

    /// A log whose first entries are gone says so itself.
    fn check_beginning(&mut self) {
        if self.first > 1 && !self.is_accounted {
            let first = self.first - 1;
            self.problem(format!(
                "entries 1 to {first} are not there, and no entry says that they were dropped (an \
                 export of a part begins so, too)"
            ));
        }
    }

    fn take(&mut self, entry: &Entry, before: Head, hash: Digest) {
        self.hashes.insert(entry.n, hash);
        match entry.happening() {
            Some(Happening::Checkpoint { signature }) => {
                self.checkpoints += 1;
                if !before.is_signed(self.node, &signature) {
                    self.problem(format!("the signature in entry {} is not the node's", entry.n));
                }
            }
            Some(Happening::Witnessed { node, number, hash }) => {
                self.witnessed.push((entry.n, node, Head { number, hash }));
            }
            Some(Happening::Dropped { through, .. }) if through + 1 >= self.first => {
                self.is_accounted = true;
            }
            _ => {}
        }
    }
}

/// Reads one file behind those before.
fn read(
    path: &Path,
    reading: &mut Option<(Report, Chain)>,
    each: &mut impl FnMut(Found<'_>) -> Result<()>,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut file = BufReader::new(File::open(path)?);
    let mut line = String::new();
    loop {
        let is_whole = next_line(&mut file, &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        if line.starts_with('#') {
            let header = line.parse::<Header>().map_err(|why| anyhow::anyhow!("{why}"))?;
            begin(header, &name, reading);
            continue;
        }
        let Some((report, chain)) = reading else {
            let why = line.parse::<Header>().err().unwrap_or_default();
            anyhow::bail!("{why}");
        };
        if !is_whole && chain.clone().follow(&line).is_err() {
            // The node is writing it just now, or was killed doing so.
            return Ok(());
        }
        let before = chain.head();
        let entry = match chain.follow(&line) {
            Ok(entry) => {
                report.take(&entry, before, chain.head().hash);
                Some(entry)
            }
            Err(broken) => {
                report.problem(format!("{name}: {broken}"));
                chain.skip(&line);
                None
            }
        };
        each(Found { line: &line, entry: entry.as_ref(), before })?;
    }
}

/// A header: of the first file, or of one that goes on where the one before it ends.
fn begin(header: Header, name: &str, reading: &mut Option<(Report, Chain)>) {
    let Header { node, after } = header;
    let Some((report, chain)) = reading else {
        let mut report = Report {
            node,
            first: after.number + 1,
            last: after,
            checkpoints: 0,
            problems: Vec::new(),
            more: 0,
            hashes: BTreeMap::new(),
            is_accounted: false,
            witnessed: Vec::new(),
        };
        if after.number == 0 && after != Chain::begin(node).head() {
            report.problem(format!("{name}: its beginning is not that of a log of {node}"));
        }
        *reading = Some((report, Chain::after(after)));
        return;
    };
    if report.node != node {
        report.problem(format!("{name}: it is of the log of another node, {node}"));
    } else if chain.head() != after {
        let (ends, begins) = (chain.head().number, after.number + 1);
        let problem = match ends + 1 == begins {
            true => format!("{name}: it does not follow from what is before it"),
            false => {
                format!("{name}: it begins with entry {begins}, where entry {} should be", ends + 1)
            }
        };
        report.problem(problem);
    }
    *chain = Chain::after(after);
}

/// Reads the next line, without its line feed; whether it had one.
fn next_line(file: &mut impl BufRead, line: &mut String) -> Result<bool> {
    let limit = 2 * ENTRY_LIMIT as u64;
    let mut bytes = Vec::new();
    file.by_ref().take(limit).read_until(b'\n', &mut bytes)?;
    anyhow::ensure!((bytes.len() as u64) < limit, "a line of it is longer than any entry");
    let is_whole = bytes.last() == Some(&b'\n');
    if is_whole {
        bytes.pop();
    }
    *line = String::from_utf8_lossy(&bytes).into_owned();
    // An empty line is damage; the end of the file is none.
    if is_whole && line.is_empty() {
        line.push(' ');
    }
    Ok(is_whole)
}

/// What each log says of the others, held against them.
pub(crate) fn cross_check(reports: &[Report]) -> Vec<String> {
    let mut problems = Vec::new();
    for (report, (entry, node, head)) in
        reports.iter().flat_map(|report| report.witnessed.iter().map(move |seen| (report, seen)))
    {
        let by = format!("entry {entry} of the log of {}", report.node);
        for of in reports.iter().filter(|of| of.node == *node && head.number >= of.first) {
            let Head { number, hash } = head;
            match of.hashes.get(number) {
                Some(found) if found == hash => {}
                Some(_) => problems
                    .push(format!("{node}: its entry {number} is not the one that {by} has seen")),
                None => problems.push(format!(
                    "{node}: its log ends with entry {}, and {by} has seen that it reached entry {number}",
                    of.last.number
                )),
            }
        }
    }
    problems
}
