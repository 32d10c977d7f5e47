use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;

fn key(seed: u8) -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed([seed; 32]).unwrap())
}

fn open(path: &Path, limit: u64) -> Arc<Audit> {
    Audit::open(Folder::new(path.to_path_buf()), key(1), WallClock::default(), limit).unwrap()
}

fn stopped(by: &str) -> Happening {
    Happening::Stopped { by: by.into() }
}

fn report(path: &Path) -> Report {
    Report::of_folder(&Folder::new(path.to_path_buf()), |_| Ok(())).unwrap()
}

/// A log with some entries in it.
fn written(path: &Path, count: usize) {
    let audit = open(path, u64::MAX);
    (0..count).for_each(|n| audit.note(stopped(&n.to_string())));
    audit.close();
}

fn only_file(path: &Path) -> std::path::PathBuf {
    let files = Folder::new(path.to_path_buf()).files().unwrap();
    assert_eq!(files.len(), 1);
    files[0].clone()
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 3);
    written(folder.path(), 2);
    let report = report(folder.path());
    assert!(report.is_good(), "{:?}", report.problems);
    // Each run ends with a signature.
    assert_eq!((report.first, report.last.number, report.checkpoints), (1, 7, 2));
}

#[test]
fn a_change_shows_and_the_node_says_so_when_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 5);
    let file = only_file(folder.path());
    let text = fs::read_to_string(&file).unwrap().replace("\"by\":\"2\"", "\"by\":\"9\"");
    fs::write(&file, text).unwrap();
    let before = report(folder.path());
    assert!(before.problems[0].contains("entry 3 was changed"), "{:?}", before.problems);
    written(folder.path(), 1);
    let after = report(folder.path());
    assert!(after.problems.iter().any(|p| p.contains("entry 3 was changed")));
    assert_eq!(after.problems.len(), before.problems.len());
    let mut said = 0;
    Report::of_folder(&Folder::new(folder.path().to_path_buf()), |found| {
        said += usize::from(found.line.contains("\"what\":\"damaged\""));
        Ok(())
    })
    .unwrap();
    assert!(said > 0);
}

#[test]
fn a_log_that_was_cut_short_shows() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 5);
    let file = only_file(folder.path());
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&file, lines[..3].join("\n") + "\n").unwrap();
    let problems = report(folder.path()).problems;
    assert!(problems[0].contains("taken out at its end"), "{problems:?}");
}

#[test]
fn an_entry_that_was_not_written_to_its_end_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 5);
    let file = only_file(folder.path());
    let mut text = fs::read_to_string(&file).unwrap();
    text.push_str("0123 {\"n\":");
    fs::write(&file, text).unwrap();
    assert!(report(folder.path()).is_good());
    written(folder.path(), 1);
    let report = report(folder.path());
    assert!(report.is_good(), "{:?}", report.problems);
    assert_eq!(report.last.number, 9);
}

#[test]
fn a_signature_of_another_key_shows() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 2);
    let signed = super::files::SignedHead::new(&key(2), report(folder.path()).last).unwrap();
    let text = serde_json::to_string(&signed).unwrap();
    fs::write(folder.path().join("head"), text).unwrap();
    assert!(!report(folder.path()).is_good());
}

#[test]
fn the_oldest_entries_go_and_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(folder.path(), 12 << 20);
    let long = "x".repeat(20_000);
    for n in 0..1200 {
        audit.note(stopped(&format!("{n} {long}")));
        // Not faster than it writes.
        if n % 100 == 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    audit.close();
    let report = report(folder.path());
    assert!(report.first > 1);
    assert!(report.is_good(), "{:?}", report.problems);
    let kept: u64 = Folder::new(folder.path().to_path_buf())
        .files()
        .unwrap()
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(kept <= 20 << 20, "{kept}");
    // Gone without a word, they would be missed.
    fs::remove_file(&Folder::new(folder.path().to_path_buf()).files().unwrap()[0]).unwrap();
    assert!(!super::tests::report(folder.path()).is_good());
}

#[test]
fn what_one_log_has_seen_of_another_is_held_against_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mine, theirs) = (folder.path().join("mine"), folder.path().join("theirs"));
    written(&theirs, 4);
    let seen = report(&theirs).last;
    let node = crate::home::node_id(&key(1));
    let witness = |head: Head| {
        let folder = Folder::new(mine.clone());
        let audit = Audit::open(folder, key(2), WallClock::default(), u64::MAX).unwrap();
        let Head { number, hash } = head;
        audit.note(Happening::Witnessed { node, number, hash });
        audit.close();
    };
    witness(seen);
    assert_eq!(cross_check(&[report(&mine), report(&theirs)]), Vec::<String>::new());
    // The whole log made anew, signatures and all, by whoever has the node's key: of another
    // length, and of the same.
    fs::remove_dir_all(&theirs).unwrap();
    written(&theirs, 2);
    let problems = cross_check(&[report(&mine), report(&theirs)]);
    assert!(problems[0].contains("has seen that it reached entry"), "{problems:?}");
    fs::remove_dir_all(&theirs).unwrap();
    let audit = open(&theirs, u64::MAX);
    (0..4).for_each(|n| audit.note(stopped(&format!("another {n}"))));
    audit.close();
    let problems = cross_check(&[report(&mine), report(&theirs)]);
    assert!(problems[0].contains("is not the one"), "{problems:?}");
}
