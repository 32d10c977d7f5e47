//! A member that calls in the name of people, in a mesh where people have keys.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod liar;

use liar::{Liar, rule};
use wattle_contracts::call::{Encoding, PersonAsks, PersonProof, Source};
use wattle_contracts::id::{ComponentId, ContractId, MeshId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::UnixMillis;
use wattle_mesh::net::WallClock;
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{Operator, TestMesh, TestNode, Up};

const ECHO: &str = "app = \"echo\"\n\n[component.echo]\nwasm = \"echo.wasm\"\n";

/// As the command line calls where it names no contract.
const ANY: &str = "wattle:any";

/// Waits until `node` holds a record of `key`.
async fn has_heard(node: &TestNode, key: &str) {
    eventually(&format!("{} has {key}", node.name()), PATIENCE, async || {
        let said = node.verb(["history", key]).await.ok();
        holds(!said.contains("nothing is known"), said)
    })
    .await;
}

/// A call of `echo/echo` with `[1]` that `key` has signed, at will.
struct Signed<'a> {
    mesh: MeshId,
    key: &'a SigningKey,
    to: &'a str,
    function: &'a str,
    at: UnixMillis,
    nonce: u8,
}

impl Signed<'_> {
    fn payload(&self, arguments: &str) -> Vec<u8> {
        let target: ComponentId = "echo/echo".parse().unwrap();
        let contract: ContractId = ANY.parse().unwrap();
        let to: NodeId = self.to.parse().unwrap();
        let asks = PersonAsks {
            mesh: self.mesh,
            to,
            target: &target,
            contract: &contract,
            function: self.function,
            arguments: "[1]",
        };
        let proof = PersonProof::sign(self.key, [self.nonce; 16], self.at, &asks).unwrap();
        proof.with(arguments).unwrap()
    }
}

#[tokio::test]
async fn a_member_alone_calls_as_nobody_where_people_have_keys() {
    let mesh = TestMesh::new().await;
    let [near, far] = Up::start_all([mesh.node("near"), mesh.node("far")]).await;
    meet(&[&near, &far], PATIENCE).await;
    let echo = ManifestText::new(ECHO).on("component.echo", "far").write(&mesh, "echo.toml").await;
    near.run(&echo, "echo/echo", &far).await;
    let liar = Liar::join(&mesh, "liar", &far).await;
    liar.knows(&far, 1).await;
    let echoes = ("echo/echo", ANY, "echo");
    let plain = async || {
        liar.call(&far, Source::Operator, echoes, Encoding::Wave, b"[1]".to_vec(), None).await
    };
    // While people have no keys, a node vouches for whoever is behind it.
    assert_eq!(plain().await.unwrap(), "[1]");

    let admin = mesh.admin(&near).await;
    let by = (&near, admin.as_path());
    let ann = Operator::added(&mesh, by, "ann", &["--app", "echo"]).await;
    let bob = Operator::added(&mesh, by, "bob", &["--app", "other"]).await;
    let vera = Operator::added(&mesh, by, "vera", &["--role", "viewer"]).await;
    let gone = Operator::added(&mesh, by, "gone", &["--app", "echo"]).await;
    let revoke = ["revoke".as_ref(), gone.public().as_ref(), "--key".as_ref(), admin.as_os_str()];
    near.verb(revoke).await.ok();
    for one in [&ann, &bob, &vera, &gone] {
        has_heard(&far, &format!("operator/{}", one.public())).await;
    }
    has_heard(&far, &format!("revocation/{}", gone.public())).await;
    has_heard(&far, "charter/operators").await;

    assert_eq!(rule(plain().await), "operator");
    let authority = std::fs::read_to_string(mesh.key()).unwrap();
    let mesh_id = MeshId::from_bytes(SigningKey::from_text(&authority).unwrap().public());
    let (key, now) = (ann.key(), WallClock::default().now());
    let call = async |payload: Vec<u8>| {
        liar.call(&far, Source::Operator, echoes, Encoding::Signed, payload, None).await
    };
    let good =
        |nonce| Signed { mesh: mesh_id, key: &key, to: far.id(), function: "echo", at: now, nonce };
    // What she has signed is taken, whoever brings it, and once.
    let payload = good(1).payload("[1]");
    assert_eq!(call(payload.clone()).await.unwrap(), "[1]");
    assert_eq!(rule(call(payload).await), "operator");
    // It was for another node, another mesh, another function, other arguments, another time.
    let stranger = SigningKey::generate().unwrap();
    let old = UnixMillis(now.0 - 16 * 60_000);
    for other in [
        Signed { to: near.id(), ..good(2) }.payload("[1]"),
        Signed { mesh: MeshId::from_bytes([7; 32]), ..good(3) }.payload("[1]"),
        Signed { function: "other", ..good(4) }.payload("[1]"),
        good(5).payload("[2]"),
        Signed { at: old, ..good(6) }.payload("[1]"),
        Signed { key: &stranger, ..good(7) }.payload("[1]"),
        Signed { key: &bob.key(), ..good(8) }.payload("[1]"),
        Signed { key: &vera.key(), ..good(9) }.payload("[1]"),
        Signed { key: &gone.key(), ..good(10) }.payload("[1]"),
        b"rubbish".to_vec(),
    ] {
        assert_eq!(rule(call(other).await), "operator");
    }
    // As a component nothing is called so.
    let as_component = Source::Component("echo/echo".parse().unwrap());
    let payload = good(11).payload("[1]");
    let refused = liar.call(&far, as_component, echoes, Encoding::Signed, payload, None).await;
    assert_eq!(rule(refused), "contract");

    // People themselves call as ever, through any node, and are told whose key is missing.
    let with = |who: &Operator| {
        let verb = ["call", "echo/echo", "echo", "[1]", "--operator-key"];
        verb.map(Into::into).into_iter().chain([who.file().into_os_string()])
    };
    assert_eq!(near.verb(with(&ann)).await.ok().trim(), "[1]");
    assert_eq!(near.verb(with(&ann)).await.ok().trim(), "[1]");
    for (who, why) in [(&bob, "is no more than deployer of other"), (&vera, "no more than viewer")]
    {
        let said = near.verb(with(who)).await.refused();
        assert!(said.contains(why) && said.contains("rule: operator"), "{said}");
    }
    let error = near.call("echo/echo", "echo", "[1]").await.unwrap_err();
    assert_eq!(error.kind, "not-allowed", "{error:?}");
    assert!(error.error.contains("--operator-key"), "{error:?}");
    // On the node itself, whoever can open its socket calls.
    assert_eq!(far.call("echo/echo", "echo", "[1]").await.unwrap(), "[1]");
    far.written("call-denied", |entry| entry.to_string().contains(vera.public())).await;
}

#[tokio::test]
async fn a_signed_call_that_came_before_a_restart_does_not_come_again_after_it() {
    let mesh = TestMesh::new().await;
    let [near, mut far] = Up::start_all([mesh.node("near"), mesh.node("far")]).await;
    meet(&[&near, &far], PATIENCE).await;
    let echo = ManifestText::new(ECHO).on("component.echo", "far").write(&mesh, "echo.toml").await;
    near.run(&echo, "echo/echo", &far).await;
    let admin = mesh.admin(&near).await;
    let ann = Operator::added(&mesh, (&near, &admin), "ann", &["--app", "echo"]).await;
    has_heard(&far, &format!("operator/{}", ann.public())).await;
    has_heard(&far, "charter/operators").await;
    let authority = std::fs::read_to_string(mesh.key()).unwrap();
    let mesh_id = MeshId::from_bytes(SigningKey::from_text(&authority).unwrap().public());
    let (key, at) = (ann.key(), WallClock::default().now());
    let to = far.id().to_owned();
    let signed = Signed { mesh: mesh_id, key: &key, to: &to, function: "echo", at, nonce: 1 };
    let call = async |liar: &Liar, far: &TestNode| {
        let (what, payload) = (("echo/echo", ANY, "echo"), signed.payload("[1]"));
        liar.call(far, Source::Operator, what, Encoding::Signed, payload, None).await
    };
    let liar = Liar::join(&mesh, "liar", &far).await;
    liar.knows(&far, 1).await;
    assert_eq!(call(&liar, &far).await.unwrap(), "[1]");
    far.restart().await;
    // What the other knows of it may still be from before the restart.
    far.sees_running("echo/echo", &[&far]).await;
    let liar = Liar::join(&mesh, "liar", &far).await;
    liar.knows(&far, 1).await;
    assert_eq!(rule(call(&liar, &far).await), "operator");
}
