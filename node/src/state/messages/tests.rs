//! The messages on disk.

use std::time::Duration;

use futures::poll;
use wattle_mesh::core::outbox::BootTime;

use super::*;
use crate::state::reserve::TestDisk;

fn kept(groups: &[&str]) -> KeptMessage {
    KeptMessage {
        subject: "orders.placed".parse().unwrap(),
        body: b"one".to_vec(),
        taken: OutboxTime(5),
        groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
    }
}

#[tokio::test]
async fn a_message_stays_until_each_group_has_settled_it() {
    let folder = tempfile::tempdir().unwrap();
    let open = || MessageTables::new(Database::open(&folder.path().join("db")).unwrap());
    let tables = open();
    assert_eq!(tables.load().unwrap().messages, []);
    tables.keep(7, kept(&["shop", "audit"])).await.unwrap();
    tables.keep(8, kept(&["audit"])).await.unwrap();
    let (shop, audit) = ("shop".parse::<Group>().unwrap(), "audit".parse::<Group>().unwrap());
    tables.settle(vec![(shop, 7, Settled::Handled)]).await.unwrap();
    let parked = Settled::Parked("no".into());
    tables.settle(vec![(audit.clone(), 7, parked)]).await.unwrap();
    tables.assign(&audit, NodeId::from_bytes([4; 32])).await.unwrap();
    drop(tables);

    let tables = open();
    let all = tables.load().unwrap();
    assert!(all.next > 8, "what was given out is not given out again");
    let groups: Vec<_> = all.messages.iter().map(|message| &message.groups).collect();
    assert_eq!(groups[0], &[(audit.clone(), Some("no".into()))]);
    assert_eq!(groups[1], &[(audit.clone(), None)]);
    let node = Some(NodeId::from_bytes([4; 32]));
    assert_eq!(all.groups, [(audit.clone(), StoredGroup { node, expired: 0 })]);

    tables.unpark(&audit, vec![(7, 9)], OutboxTime(6)).await.unwrap();
    assert_eq!(tables.bodies(&[7, 8, 9]).await.unwrap()[0], None);
    assert_eq!(tables.bodies(&[9]).await.unwrap(), [Some(b"one".to_vec())]);
    let expired = |sequence| (audit.clone(), sequence, Settled::Expired);
    tables.settle(vec![expired(8), expired(9)]).await.unwrap();
    let all = tables.load().unwrap();
    assert_eq!(all.messages, []);
    assert_eq!(all.groups[0].1.expired, 2);
}

#[tokio::test]
async fn on_a_disk_that_is_nearly_full_no_message_is_taken_and_those_there_are_settled() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, reserve) = TestDisk::new();
    let database = Database::open_on(&folder.path().join("db"), reserve).unwrap();
    let tables = MessageTables::new(database);
    tables.keep(7, kept(&["shop"])).await.unwrap();
    disk.set_free(1 << 20);
    let why = tables.keep(8, kept(&["shop"])).await.unwrap_err().to_string();
    assert!(why.contains("nearly full"), "{why}");
    assert_eq!(tables.bodies(&[7, 8]).await.unwrap(), [Some(b"one".to_vec()), None]);
    let shop = "shop".parse::<Group>().unwrap();
    tables.settle(vec![(shop.clone(), 7, Settled::Handled)]).await.unwrap();
    tables.handled(&shop, NodeId::from_bytes([4; 32]), 1, 1).await.unwrap();
    assert_eq!(tables.load().unwrap().messages, []);
    disk.set_free(1 << 40);
    tables.keep(8, kept(&["shop"])).await.unwrap();
}

#[tokio::test]
async fn what_was_handled_is_kept_from_the_floor_on() {
    let folder = tempfile::tempdir().unwrap();
    let tables = MessageTables::new(Database::open(&folder.path().join("db")).unwrap());
    let (group, node) = ("shop".parse::<Group>().unwrap(), NodeId::from_bytes([4; 32]));
    for (sequence, floor) in [(5, 3), (6, 3), (9, 6), (10, 4)] {
        tables.handled(&group, node, sequence, floor).await.unwrap();
    }
    let other = NodeId::from_bytes([5; 32]);
    tables.handled(&group, other, 1, 1).await.unwrap();
    let handled = tables.load().unwrap().handled;
    assert_eq!(handled[&(group.clone(), node)], (6, [6, 9, 10].into()));
    assert_eq!(handled[&(group, other)], (1, [1].into()));
}

#[tokio::test]
async fn the_clock_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let tables = MessageTables::new(Database::open(&folder.path().join("db")).unwrap());
    assert_eq!(tables.load().unwrap().clock, None);
    for seconds in [5, 65] {
        let elapsed = Duration::from_secs(seconds);
        let machine = BootTime { boot: Some("one".into()), elapsed };
        let note = ClockNote { time: OutboxTime(seconds * 1000), machine };
        tables.note_clock(note.clone()).await.unwrap();
        assert_eq!(tables.load().unwrap().clock, Some(note));
    }
}

/// On one thread: were it held up, the test could not look on.
#[tokio::test(flavor = "current_thread")]
async fn bodies_are_read_on_a_thread_that_may_wait_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("db")).unwrap();
    let tables = MessageTables::new(database.clone());
    tables.keep(7, kept(&["shop"])).await.unwrap();
    let disk = database.hang(Duration::from_secs(5));
    let sequences = [7];
    let mut readings: Vec<_> = (0..20).map(|_| tables.bodies(&sequences)).collect();
    for reading in &mut readings {
        assert!(poll!(reading).is_pending(), "the thread waited for the disk");
    }
    assert_eq!(tables.readers.available_permits(), 0, "{READERS} at once, and no more");
    disk.go_on();
    for reading in readings {
        assert_eq!(reading.await.unwrap(), [Some(b"one".to_vec())]);
    }
}
