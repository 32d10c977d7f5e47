//! What the plane does while the disk fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use wattle_contracts::record::App;
use wattle_contracts::trust::{Paper, UnixMillis};

use super::*;
use crate::net::audit::NoAudit;
use crate::net::service::Loaded;

/// Counts how often it is read.
#[derive(Default)]
struct Disk {
    is_full: AtomicBool,
    is_unreadable: AtomicBool,
    loads: AtomicUsize,
}

impl RecordStore for Disk {
    fn load(&self) -> Result<Loaded, StoreError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        match self.is_unreadable.load(Ordering::Relaxed) {
            true => Err(StoreError("input/output error".into())),
            false => Ok(Loaded::default()),
        }
    }

    fn persist(&self, _: &[Write]) -> Result<(), StoreError> {
        match self.is_full.load(Ordering::Relaxed) {
            true => Err(StoreError("no space left on device".into())),
            false => Ok(()),
        }
    }
}

fn plane(store: Arc<Disk>) -> Plane {
    let key = Arc::new(SigningKey::from_seed([1; 32]).unwrap());
    let metrics = Arc::<Metrics>::default();
    let authority = SigningKey::from_seed([2; 32]).unwrap();
    let me = NodeId::from_bytes(key.public());
    let paper = Paper::issue(&authority, me, UnixMillis(1), None).unwrap();
    Plane {
        me,
        roster: Arc::new(Roster::new(&MeshConfig::new(key.clone(), paper))),
        key,
        clock: WallClock::default(),
        started: Instant::now(),
        rng: SmallRng::seed_from_u64(1),
        store,
        peers: Arc::new(Peers::new(metrics.clone())),
        metrics,
        audit: Arc::new(NoAudit),
        set: None,
        retry_at: Time::ZERO,
        waiting: Vec::new(),
        up: BTreeSet::new(),
        shown: watch::channel(Arc::default()).0,
        warned: (Time::ZERO, 0),
    }
}

fn put() -> (Input, oneshot::Receiver<Result<Record, PutError>>) {
    let (answer, told) = oneshot::channel();
    let name: wattle_contracts::id::AppName = "shop".parse().unwrap();
    let body = RecordBody::App(Box::new(App::new(name.clone())));
    (Input::Put(Put::Sign { key: RecordKey::App(name), body, answer }), told)
}

fn message() -> Input {
    let key = SigningKey::from_seed([2; 32]).unwrap();
    Input::Message(NodeId::from_bytes(key.public()), RecordMessage::Root([0; 32]))
}

#[tokio::test]
async fn a_disk_that_refuses_writes_is_not_read_again_for_each_message() {
    let disk = Arc::<Disk>::default();
    let mut plane = plane(disk.clone());
    plane.load().await.unwrap();
    disk.is_full.store(true, Ordering::Relaxed);
    let failed = plane.now();
    let (input, told) = put();
    plane.take(vec![input]).await;
    assert!(told.await.unwrap().unwrap_err().to_string().contains("no space left"));
    assert!(plane.retry_at >= failed.plus(RETRY) && plane.nap() <= RETRY);
    // However slow the machine is that runs this.
    plane.retry_at = Time::NEVER;
    let (input, told) = put();
    plane.take(vec![message(), input]).await;
    for _ in 0..50 {
        plane.take(vec![message()]).await;
    }
    assert_eq!((disk.loads.load(Ordering::Relaxed), plane.waiting.len()), (1, 1));
    // What was declared meanwhile is taken once the disk is well.
    disk.is_full.store(false, Ordering::Relaxed);
    plane.retry_at = plane.now();
    plane.take(Vec::new()).await;
    assert_eq!(disk.loads.load(Ordering::Relaxed), 2);
    told.await.unwrap().unwrap();
    plane.take(vec![message()]).await;
    assert_eq!(disk.loads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_disk_that_can_not_be_read_is_left_alone_for_a_while_too() {
    let disk = Arc::<Disk>::default();
    disk.is_unreadable.store(true, Ordering::Relaxed);
    let mut plane = plane(disk.clone());
    let failed = plane.now();
    let (input, told) = put();
    plane.take(vec![input]).await;
    assert!(matches!(told.await.unwrap(), Err(PutError::Store(_))));
    assert!(plane.retry_at >= failed.plus(RETRY));
    plane.retry_at = Time::NEVER;
    // As many declarations wait as have a place; the others are refused.
    let (inputs, told): (Vec<_>, Vec<_>) = (0..=QUEUE).map(|_| put()).unzip();
    plane.take(inputs).await;
    assert_eq!((disk.loads.load(Ordering::Relaxed), plane.waiting.len()), (1, QUEUE));
    let last = told.into_iter().next_back().unwrap();
    assert!(matches!(last.await.unwrap(), Err(PutError::Store(_))));
}
