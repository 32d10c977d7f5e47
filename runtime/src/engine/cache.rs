//! Compiled code on disk, so that a restart does not compile again.
//!
//! Compiled code is native code: a file that was damaged or made by somebody else must never be
//! run. So each file carries a keyed hash (HMAC-SHA256, RFC 2104) over the digest of the component,
//! the version and settings of the compiler, and the code; what does not match is thrown away.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use ring::hmac;
use wasmtime::Engine;
use wasmtime::component::Component;
use wattle_contracts::id::Digest;

use super::{CacheConfig, EngineError};
use crate::plain_file::open_plain;

/// The first bytes of each file; the number changes with the format.
const MAGIC: &[u8; 16] = b"wattle-code-v1\n\0";

/// Bytes of the keyed hash, which stands after the magic.
const TAG: usize = 32;

/// The end of a cached file's name.
const EXTENSION: &str = "code";

/// How the end of a name begins while the file is being written.
const UNFINISHED: &str = "new-";

pub(super) struct Cache {
    directory: PathBuf,
    limit: u64,
    key: hmac::Key,
    /// Version and settings of the compiler.
    compiler: u64,
}

impl Cache {
    pub(super) fn open(config: CacheConfig, engine: &Engine) -> Result<Self, EngineError> {
        let CacheConfig { directory, limit, secret } = config;
        if let Err(error) = create_private_directory(&directory) {
            return Err(EngineError::Cache { path: directory, error });
        }
        remove_unfinished(&directory);
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Ok(Self { directory, limit, key, compiler: hasher.finish() })
    }

    /// The compiled component, if it is there and sound.
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.path(digest);
        let code = match self.read(&path, digest) {
            Ok(code) => code,
            Err(Unusable::Absent) => return None,
            Err(why) => {
                tracing::warn!(%digest, file = %path.display(), %why, "compiling again");
                let _ = fs::remove_file(&path);
                return None;
            }
        };
        #[expect(
            unsafe_code,
            reason = "the keyed hash just matched: these are the bytes that this code wrote"
        )]
        // SAFETY: the bytes come from `Component::serialize` of an engine with the same version
        // and settings, in this process's memory, and were not changed since.
        let component = unsafe { Component::deserialize(engine, &code) };
        match component {
            Ok(component) => {
                // The time of last use decides who has to leave first. No harm if it fails.
                let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                Some(component)
            }
            Err(error) => {
                tracing::warn!(%digest, file = %path.display(), %error, "compiling again");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps the compiled component. A failure costs only time, and is logged.
    pub(super) fn store(&self, digest: &Digest, component: &Component) {
        let stored = component
            .serialize()
            .map_err(|error| io::Error::other(format!("{error:#}")))
            .and_then(|code| self.write(digest, &code));
        if let Err(error) = stored {
            let directory = self.directory.display();
            tracing::warn!(%digest, %directory, %error, "compiled code is not kept");
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{}-{:016x}.{EXTENSION}", digest.hex(), self.compiler))
    }

    fn read(&self, path: &Path, digest: &Digest) -> Result<Vec<u8>, Unusable> {
        let mut file = match open_plain(path, self.limit) {
            Ok((_, file)) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Absent),
            Err(error) => return Err(Unusable::Unreadable(error)),
        };
        let mut header = [0; MAGIC.len() + TAG];
        file.read_exact(&mut header).map_err(|_| Unusable::Changed)?;
        let mut code = Vec::new();
        file.take(self.limit).read_to_end(&mut code).map_err(Unusable::Unreadable)?;
        let (magic, tag) = header.split_at(MAGIC.len());
        // By their hashes: how long that takes tells whoever swaps files nothing of the right tag.
        let is_ours = Digest::of(tag) == Digest::of(self.tag(digest, &code).as_ref());
        if magic == MAGIC && is_ours { Ok(code) } else { Err(Unusable::Changed) }
    }

    fn tag(&self, digest: &Digest, code: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(digest.as_bytes());
        context.update(&self.compiler.to_le_bytes());
        context.update(code);
        context.sign()
    }

    fn write(&self, digest: &Digest, code: &[u8]) -> io::Result<()> {
        let length = (MAGIC.len() + TAG + code.len()) as u64;
        if length > self.limit {
            return Err(io::Error::other(format!("it is larger than the limit of {}", self.limit)));
        }
        self.make_room(length)?;
        let path = self.path(digest);
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        // Written aside and renamed: a crash leaves the old file or the new one, never a part.
        let aside = path.with_extension(format!("{UNFINISHED}{}-{unique}", std::process::id()));
        let written = write_private(&aside, &[MAGIC, self.tag(digest, code).as_ref(), code])
            .and_then(|()| fs::rename(&aside, &path));
        if written.is_err() {
            let _ = fs::remove_file(&aside);
        }
        written
    }

    /// Removes what was not used for longest until `length` more bytes fit.
    fn make_room(&self, length: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                let metadata = entry.metadata()?;
                files.push((metadata.modified()?, metadata.len(), path));
            }
        }
        files.sort();
        let mut total = files.iter().map(|(_, size, _)| size).sum::<u64>() + length;
        for (_, size, path) in files {
            if total <= self.limit {
                break;
            }
            fs::remove_file(&path)?;
            total -= size;
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("there is no file")]
    Absent,
    #[error("the file can't be read: {0}")]
    Unreadable(io::Error),
    #[error("the file was changed, or belongs to another key")]
    Changed,
}

fn create_private_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Removes what a crash left half written. Another process that writes right now loses no more
/// than the time to compile again.
fn remove_unfinished(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| extension.starts_with(UNFINISHED)) {
            let _ = fs::remove_file(path);
        }
    }
}

fn write_private(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}
