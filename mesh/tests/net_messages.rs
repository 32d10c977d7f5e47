//! Durable messages between real nodes: the clean end, and who may deliver what.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::poll;
use net_common::post::*;
use net_common::*;
use wattle_contracts::call::{CallError, CallHeader, CallRoute, ErrorKind, Relay, Source};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_contracts::message::{Delivery, LiveMessage, Receipt};
use wattle_contracts::record::RecordKey;
use wattle_contracts::wire;
use wattle_mesh::net::{Mesh, Messenger};

async fn publish(messenger: &Messenger, subject: &str, text: &str) {
    messenger.publish_durable(&subject.parse().unwrap(), text.into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_stop_no_handler_begins_and_the_rest_is_handled_once_after_a_restart() {
    let world = World::new();
    let mesh = start(world.config(1)).await;
    subscribe(&mesh).await;
    let (shelf, clerk) = (Arc::<Shelf>::default(), Clerk::new(true));
    let before = messenger(&mesh, &shelf, &clerk);
    clerk.may_end.send_replace(false);
    for text in ["a1", "a2", "a3"] {
        publish(&before, "a", text).await;
        publish(&before, "b", &text.replace('a', "b")).await;
    }
    let mut begun = clerk.begun.subscribe();
    begun.wait_for(|count| *count == 2).await.unwrap();

    before.stop();
    publish(&before, "c", "c1").await;
    let mut stopped = std::pin::pin!(before.stopped());
    assert!(poll!(&mut stopped).is_pending(), "two handlers are under way");
    clerk.may_end.send_replace(true);
    tokio::time::timeout(PATIENCE, stopped).await.unwrap();
    let mut texts = clerk.texts.borrow().clone();
    texts.sort();
    assert_eq!(texts, ["a1", "b1"], "what was under way has ended, and nothing else has begun");
    publish(&before, "a", "a4").await;
    assert_eq!(*clerk.begun.borrow(), 2);

    // A process that ends takes no message from the disk that the next one has read there already;
    // of this one two messengers share it.
    eventually("the two are settled", || shelf.waiting() == 6).await;
    let _after = messenger(&mesh, &shelf, &clerk);
    let texts = clerk.written(8).await;
    for (subject, last) in [("a", 4), ("b", 3), ("c", 1)] {
        let of: Vec<&String> = texts.iter().filter(|text| text.starts_with(subject)).collect();
        let expected: Vec<String> = (1..=last).map(|n| format!("{subject}{n}")).collect();
        assert_eq!(of, expected.iter().collect::<Vec<_>>(), "each once, and in order");
    }
}

fn delivery(publisher: NodeId, sequence: u64) -> Delivery {
    Delivery {
        publisher,
        first: None,
        group: COMPONENT.parse().unwrap(),
        floor: 0,
        subject: "a".parse().unwrap(),
        messages: vec![(sequence, format!("text {sequence}").into())],
        proof: None,
    }
}

/// Sends a delivery as any member can, whatever it says.
async fn deliver(
    from: &Mesh,
    to: &Mesh,
    path: Option<NodeId>,
    delivery: &Delivery,
) -> Result<Receipt, CallError> {
    let to = to.node_id();
    let relay = path.map(|first| Box::new(Relay { to, call: 1, path: vec![first], proof: None }));
    let target = COMPONENT.parse().unwrap();
    let header = header("handle");
    let route = CallRoute { source: Source::Messages, target, ..(*header.route).clone() };
    let header = CallHeader { relay, route: Arc::new(route), ..header };
    let payload = wire::encode(delivery).unwrap();
    let reply = from.call(to, header, payload.into(), None).await?;
    Ok(wire::decode(&reply.payload).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_delivers_in_the_name_of_another() {
    let world = World::new();
    let desk = Arc::<Desk>::default();
    let receiver = Mesh::start(world.config(2), Arc::<Disk>::default(), desk.clone()).await;
    let receiver = receiver.unwrap();
    let (publisher, other) =
        (start(world.joining(1, &receiver)).await, start(world.joining(3, &receiver)).await);
    all_connected(&[&receiver, &publisher, &other]).await;
    subscribe(&receiver).await;
    let clerk = Clerk::new(true);
    let post = messenger(&receiver, &Arc::default(), &clerk);
    desk.messenger.set(post.clone()).unwrap();

    let publisher_id = publisher.node_id();
    let own = deliver(&publisher, &receiver, None, &delivery(publisher_id, 1)).await.unwrap();
    assert_eq!((own.reply.handled, own.reply.stopped, own.proof), (1, None, None));

    let key = SigningKey::from_seed([1; 32]).unwrap();
    let mut for_another = delivery(publisher_id, 2);
    for_another.sign(&key, other.node_id()).unwrap();
    let mut by_another = delivery(publisher_id, 2);
    by_another.sign(&SigningKey::from_seed([3; 32]).unwrap(), receiver.node_id()).unwrap();
    let mut changed = delivery(publisher_id, 2);
    changed.sign(&key, receiver.node_id()).unwrap();
    let genuine = changed.clone();
    changed.messages[0].1.push(b'!');
    let unsigned = delivery(publisher_id, 2);
    // As its own, and as one that it says it has had from the publisher.
    let mut refused = 0;
    for forged in [&unsigned, &for_another, &by_another, &changed] {
        for path in [None, Some(publisher_id)] {
            let error = deliver(&other, &receiver, path, forged).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotAllowed, "{error}");
            assert!(error.message.contains("nothing shows that they are of"), "{error}");
            refused += 1;
            assert_eq!(post.counts().forged, refused);
        }
    }
    assert_eq!(*clerk.texts.borrow(), ["text 1"]);

    let receipt = deliver(&other, &receiver, Some(publisher_id), &genuine).await.unwrap();
    assert!(receipt.is_signed_by(receiver.node_id(), &genuine.proof.unwrap()));
    assert_eq!((receipt.reply.handled, receipt.reply.stopped), (1, None));
    assert_eq!(*clerk.texts.borrow(), ["text 1", "text 2"]);
    assert_eq!(post.counts().forged, refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_go_through_a_common_neighbour_are_signed_and_taken() {
    let world = World::new();
    let desk = Arc::<Desk>::default();
    let [publisher, receiver, middle] = chain(&world, desk.clone()).await;
    subscribe(&receiver).await;
    let clerk = Clerk::new(true);
    let post = messenger(&receiver, &Arc::default(), &clerk);
    desk.messenger.set(post.clone()).unwrap();
    say_runs(&receiver);
    eventually("the publisher knows of the subscriber", || {
        let records = publisher.records();
        records.iter().any(|record| matches!(record.key, RecordKey::App(_)))
    })
    .await;

    // Whoever passes them on can keep them and say that they were handled: it is not believed.
    desk.lies.store(true, Ordering::Relaxed);
    let sender = messenger(&publisher, &Arc::default(), &Clerk::new(false));
    publish(&sender, "a", "1").await;
    eventually("the answer is not believed", || sender.counts().forged > 0).await;
    let status = sender.status();
    assert_eq!((status[0].waiting, sender.counts().acknowledged), (1, 0));
    let problem = status[0].problem.clone().unwrap();
    assert!(problem.contains("nothing shows that the answer"), "{problem}");
    desk.lies.store(false, Ordering::Relaxed);
    for number in 2..=20 {
        publish(&sender, "a", &number.to_string()).await;
    }
    let expected: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
    assert_eq!(clerk.written(20).await, expected);
    eventually("all is acknowledged", || sender.counts().acknowledged == 20).await;
    assert_eq!((post.counts().forged, post.counts().handled), (0, 20));
    assert!(middle.metrics().calls_relayed > 0);
}

/// A member brings what nobody has subscribed to: durable, and live.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_is_given_no_message_that_it_has_not_subscribed_to() {
    let world = World::new();
    let desk = Arc::<Desk>::default();
    let receiver = Mesh::start(world.config(2), Arc::<Disk>::default(), desk.clone()).await;
    let receiver = receiver.unwrap();
    let publisher = start(world.joining(1, &receiver)).await;
    all_connected(&[&receiver, &publisher]).await;
    subscribe_to(&receiver, "orders.*").await;
    let clerk = Clerk::new(true);
    let post = messenger(&receiver, &Arc::default(), &clerk);
    desk.messenger.set(post.clone()).unwrap();

    let id = publisher.node_id();
    // Its subject is "a".
    let receipt = deliver(&publisher, &receiver, None, &delivery(id, 1)).await.unwrap();
    assert_eq!(receipt.reply.handled, 0);
    let stopped = format!("{:?}", receipt.reply.stopped);
    assert!(stopped.contains("is not known here to subscribe"), "{stopped}");
    let live = async |subject: &str| {
        let message = LiveMessage { subject: subject.parse().unwrap(), body: b"live".to_vec() };
        let header = header("handle-live");
        let target = COMPONENT.parse().unwrap();
        let route = CallRoute { source: Source::Messages, target, ..(*header.route).clone() };
        let header = CallHeader { route: Arc::new(route), ..header };
        let payload = wire::encode(&message).unwrap();
        publisher.call(receiver.node_id(), header, payload.into(), None).await.map(drop)
    };
    let error = live("a").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotAllowed, "{error}");
    assert!(error.message.contains("to subscribe to `a`"), "{error}");
    let wanted = Delivery { subject: "orders.new".parse().unwrap(), ..delivery(id, 1) };
    let receipt = deliver(&publisher, &receiver, None, &wanted).await.unwrap();
    assert_eq!(receipt.reply.handled, 1);
    live("orders.old").await.unwrap();
    assert_eq!(*clerk.texts.borrow(), ["text 1", "live"]);
}
