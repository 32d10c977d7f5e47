//! Compiled code that is kept on disk.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use wattle_contracts::id::Digest;
use wattle_runtime::{CacheConfig, Component, Engine, EngineConfig};

use crate::common::{Node, actor, context, contract, wat};

fn engine(directory: &Path, limit: u64, secret: u8) -> Engine {
    let cache = CacheConfig { directory: directory.into(), limit, secret: [secret; 32] };
    Engine::new(EngineConfig { instances: 4, cache: Some(cache), ..Default::default() }).unwrap()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// Loads the component and shows that it works.
async fn check(engine: &Engine) {
    let bytes = wat::bad();
    let component = Component::load(engine, &Digest::of(&bytes), &bytes).unwrap();
    let actor = actor(&component, "t/bad", &Node::new());
    let result = actor.call_wave(context(), Some(&contract("test:bad/bad")), "fine", "").await;
    assert_eq!(result.unwrap(), "7");
}

#[tokio::test]
async fn compiled_code_is_used_again_by_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    check(&engine(directory.path(), CacheConfig::LIMIT, 1)).await;
    let [file] = &files(directory.path())[..] else { panic!("one file") };
    // Garbage under this digest can't be compiled: if it loads, it came from the cache.
    let bytes = wat::bad();
    let mut garbage = bytes.clone();
    garbage.truncate(20);
    let next = engine(directory.path(), CacheConfig::LIMIT, 1);
    Component::load(&next, &Digest::of(&bytes), &garbage).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_damaged_file_is_thrown_away_and_compiled_again() {
    let directory = tempfile::tempdir().unwrap();
    check(&engine(directory.path(), CacheConfig::LIMIT, 1)).await;
    let [file] = &files(directory.path())[..] else { panic!("one file") };
    let good = fs::read(file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let half = good[..good.len() / 2].to_vec();
    for damaged in
        [flipped(0), flipped(20), flipped(good.len() / 2), flipped(good.len() - 1), half, vec![]]
    {
        fs::write(file, &damaged).unwrap();
        check(&engine(directory.path(), CacheConfig::LIMIT, 1)).await;
        assert_eq!(fs::read(file).unwrap().len(), good.len(), "it was written anew");
        check(&engine(directory.path(), CacheConfig::LIMIT, 1)).await;
    }
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("00-00.new-1-1"), "half").unwrap();
    fs::write(directory.path().join("of somebody else"), "whole").unwrap();
    check(&engine(directory.path(), CacheConfig::LIMIT, 1)).await;
    assert_eq!(files(directory.path()).len(), 2);
}

#[tokio::test]
async fn code_that_somebody_else_signed_is_not_run() {
    let directory = tempfile::tempdir().unwrap();
    check(&engine(directory.path(), CacheConfig::LIMIT, 1)).await;
    let [file] = &files(directory.path())[..] else { panic!("one file") };
    let foreign = fs::read(file).unwrap();
    check(&engine(directory.path(), CacheConfig::LIMIT, 2)).await;
    assert_ne!(fs::read(file).unwrap(), foreign, "it was compiled again, and signed with its key");
}

#[tokio::test]
async fn the_longest_unused_leaves_when_there_is_no_room() {
    let directory = tempfile::tempdir().unwrap();
    let load = |engine: &Engine, name: &str| {
        let bytes = wat::last(name);
        Component::load(engine, &Digest::of(&bytes), &bytes).unwrap();
        Digest::of(&bytes).hex()
    };
    let kept = |digest: &str| {
        files(directory.path()).iter().any(|file| file.to_str().unwrap().contains(digest))
    };
    let roomy = engine(directory.path(), CacheConfig::LIMIT, 1);
    let first = load(&roomy, "t:a/a");
    let [file] = &files(directory.path())[..] else { panic!("one file") };
    let size = fs::metadata(file).unwrap().len();

    // Room for two and a half.
    let narrow = engine(directory.path(), size * 5 / 2, 1);
    let second = load(&narrow, "t:b/b");
    // The first is used again, and so the second is the one to leave.
    let file = fs::File::open(file).unwrap();
    file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(9)).unwrap();
    let third = load(&narrow, "t:c/c");
    assert!(kept(&first) && !kept(&second) && kept(&third));

    // Nothing fits: it works all the same.
    check(&engine(directory.path(), 10, 1)).await;
}
