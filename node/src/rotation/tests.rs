use std::fs;

use tempfile::TempDir;
use wattle_contracts::id::MeshId;
use wattle_contracts::record::{Config, Revocation};

use super::*;

/// A stopped node with a paper, and a value that it declared.
fn stopped(authority: &SigningKey) -> (TempDir, NodeId) {
    let folder = TempDir::new().unwrap();
    let home = Home::open(folder.path()).unwrap();
    let key = home.node_key().unwrap();
    let id = home::node_id(&key);
    let now = WallClock::default().now();
    home.keep_paper(&Paper::issue(authority, id, now, None).unwrap()).unwrap();
    let table = RecordTable::new(Database::open(&home.database()).unwrap(), &key);
    table.load().unwrap();
    let about = RecordKey::Config("shop/basket/currency".parse().unwrap());
    let body = RecordBody::Config(Config { value: "EUR".into() });
    let at = Hlc { millis: now.0, counter: 0 };
    let record = Record::sign(&key, about, at, body).unwrap();
    table.persist(&[Write::Current(Arc::new(record))]).unwrap();
    (folder, id)
}

fn authority() -> SigningKey {
    SigningKey::from_seed([1; 32]).unwrap()
}

/// What is on the disk of the node, which must be sealed with its present key.
fn held(home: &Home) -> Vec<Record> {
    let key = home.node_key().unwrap();
    let table = RecordTable::new(Database::open(&home.database()).unwrap(), &key);
    let loaded = table.load().unwrap();
    assert!(loaded.damaged.is_empty(), "{:?}", loaded.damaged);
    assert!(loaded.records.iter().all(|stored| stored.is_verified));
    loaded.records.into_iter().map(|stored| stored.record).collect()
}

fn succeeded(records: &[Record], former: NodeId) -> &Succeeded {
    let found = records.iter().find_map(|record| match (&record.key, &record.body) {
        (RecordKey::Succession(old), RecordBody::Succession(by)) if *old == former => Some(by),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_node_has_a_new_key_and_a_paper_for_it_and_what_it_declared_stays() {
    let (folder, former) = stopped(&authority());
    let second = rotate(folder.path()).unwrap();
    assert_eq!(second.former, former);
    let third = rotate(folder.path()).unwrap();
    assert_eq!(third.former, second.node);
    let home = Home::open(folder.path()).unwrap();
    let node = home::node_id(&home.node_key().unwrap());
    assert_eq!(node, third.node);
    let paper = home.paper().unwrap().unwrap();
    let mesh = MeshId::from_bytes(authority().public());
    paper.verify(mesh, node, WallClock::default().now()).unwrap();
    assert_eq!((paper.body.node, paper.successions.len()), (former, 2));
    let records = held(&home);
    assert_eq!(records.len(), 3);
    let first = succeeded(&records, former);
    let declared = records.iter().find(|record| record.version.writer == former).unwrap();
    assert!(first.kept.contains(&Print::of_record(declared).unwrap()));
    assert_eq!(home.former_node_keys().unwrap().len(), 2);
}

#[test]
fn what_was_interrupted_goes_on_with_the_same_key() {
    let (folder, former) = stopped(&authority());
    let home = Home::open(folder.path()).unwrap();
    let old = fs::read(folder.path().join("node.key")).unwrap();
    let paper = fs::read(folder.path().join("node.paper")).unwrap();
    let first = rotate(folder.path()).unwrap();
    let made = succeeded(&held(&home), former).clone();
    // As it was before the last two steps.
    fs::rename(folder.path().join("node.key"), folder.path().join("node.key.next")).unwrap();
    home::write_private(&folder.path().join("node.key"), &old).unwrap();
    fs::write(folder.path().join("node.paper"), paper).unwrap();
    assert!(home.node_key().unwrap_err().to_string().contains("wattle rotate-key"));
    let again = rotate(folder.path()).unwrap();
    assert_eq!((again.former, again.node), (former, first.node));
    assert_eq!(*succeeded(&held(&home), former), made);
    // And before the last one.
    let new = fs::read(folder.path().join("node.key")).unwrap();
    home::write_private(&folder.path().join("node.key.next"), &new).unwrap();
    fs::remove_file(folder.path().join("node.key")).unwrap();
    home::write_private(&folder.path().join("node.key"), &old).unwrap();
    assert_eq!(rotate(folder.path()).unwrap().node, first.node);
    assert_eq!(home::node_id(&home.node_key().unwrap()), first.node);
}

#[test]
fn a_revoked_node_and_one_without_a_paper_get_no_new_key() {
    let (folder, former) = stopped(&authority());
    let home = Home::open(folder.path()).unwrap();
    let key = home.node_key().unwrap();
    let table = RecordTable::new(Database::open(&home.database()).unwrap(), &key);
    table.load().unwrap();
    let at = Hlc { millis: WallClock::default().now().0, counter: 0 };
    let body = RecordBody::Revocation(Revocation::default());
    let about = RecordKey::Revocation(Revoked::Node(former));
    let record = Record::sign(&authority(), about, at, body).unwrap();
    table.persist(&[Write::Current(Arc::new(record))]).unwrap();
    drop(table);
    assert!(format!("{:#}", rotate(folder.path()).unwrap_err()).contains("was revoked"));
    let empty = TempDir::new().unwrap();
    Home::open(empty.path()).unwrap().node_key().unwrap();
    assert!(format!("{:#}", rotate(empty.path()).unwrap_err()).contains("no paper"));
}
