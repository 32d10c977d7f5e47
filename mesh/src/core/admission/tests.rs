use std::collections::VecDeque;

use proptest::prelude::*;
use wattle_contracts::id::CellName;
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::{Paper, UnixMillis};

use super::*;

fn node(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 32])
}

fn mesh(byte: u8) -> MeshId {
    MeshId::from_bytes([byte; 32])
}

fn hello() -> Box<Hello> {
    let authority = SigningKey::from_seed([3; 32]).unwrap();
    let paper = Paper::issue(&authority, node(1), UnixMillis(5), None).unwrap();
    Box::new(Hello { paper, cell: CellName::default() })
}

/// How an admission between two ends, and what each has said. Every paper is good.
fn talk(ours: MeshId, theirs: MeshId) -> [(Result<Step, Unwelcome>, Vec<Greeting>); 2] {
    let mut sides = [
        Admission::new(Role::Dialler, ours, node(1), node(2)),
        Admission::new(Role::Listener, theirs, node(2), node(1)),
    ];
    let mut said = [Vec::new(), Vec::new()];
    let mut ends = [None, None];
    let mut steps = VecDeque::from([(0, Ok(sides[0].begin()))]);
    while let Some((side, step)) = steps.pop_front() {
        let says = match step {
            Ok(Step::Say(greeting)) => greeting,
            Ok(Step::Show) => Greeting::Hello(hello()),
            Ok(Step::Judge(_)) => {
                steps.push_back((side, sides[side].found_good()));
                continue;
            }
            Ok(Step::Admit) => {
                ends[side] = Some(Ok(Step::Admit));
                Greeting::Admitted
            }
            Err(why) => {
                ends[side] = Some(Err(why));
                sides[side].turned_away(why)
            }
            end => {
                ends[side] = Some(end);
                continue;
            }
        };
        said[side].push(says.clone());
        let other = 1 - side;
        steps.push_back((other, sides[other].came(says)));
    }
    let [one, two] = ends.map(Option::unwrap);
    let [by_one, by_two] = said;
    [(one, by_one), (two, by_two)]
}

#[test]
fn two_of_one_mesh_are_in_after_five_messages() {
    let [(dialler, by_dialler), (listener, by_listener)] = talk(mesh(7), mesh(7));
    assert_eq!((dialler, listener), (Ok(Step::Admit), Ok(Step::In)));
    assert!(matches!(
        by_dialler.as_slice(),
        [Greeting::Knock(_), Greeting::Hello(_), Greeting::Admitted]
    ));
    assert!(matches!(by_listener.as_slice(), [Greeting::Knock(_), Greeting::Hello(_)]));
}

#[test]
fn of_two_meshes_each_says_one_word() {
    let [(dialler, by_dialler), (listener, by_listener)] = talk(mesh(7), mesh(8));
    assert_eq!(dialler, Ok(Step::Out(NOT_OF_THIS_MESH.into())));
    assert_eq!(listener, Err(Unwelcome::Stranger));
    assert!(matches!(by_dialler.as_slice(), [Greeting::Knock(_)]));
    assert_eq!(by_listener, [Greeting::stranger()]);
}

#[test]
fn a_knock_that_was_made_for_others_opens_nothing() {
    let heard = Knock::new(mesh(7), node(1), node(2));
    // Somebody else says it, to whom it was said and to another one; and it comes back.
    for (me, them) in [(node(2), node(9)), (node(9), node(1)), (node(1), node(2))] {
        let mut listener = Admission::new(Role::Listener, mesh(7), me, them);
        let answer = listener.came(Greeting::Knock(heard.clone()));
        assert_eq!(answer, Err(Unwelcome::Stranger), "{me} hears it of {them}");
        assert_eq!(listener.turned_away(Unwelcome::Stranger), Greeting::stranger());
    }
    let mut dialler = Admission::new(Role::Dialler, mesh(7), node(1), node(2));
    assert_eq!(dialler.came(Greeting::Knock(heard)), Err(Unwelcome::Stranger));
}

#[test]
fn another_version_is_named_to_who_knows_the_mesh_and_the_mesh_is_not() {
    for role in [Role::Dialler, Role::Listener] {
        let mut side = Admission::new(role, mesh(7), node(2), node(1));
        let knock = Knock { version: 99, ..Knock::new(mesh(7), node(1), node(2)) };
        let why = side.came(Greeting::Knock(knock)).unwrap_err();
        assert_eq!(why, Unwelcome::Version { theirs: 99, ours: VERSION });
        assert!(why.to_string().contains("it speaks version 99"), "{why}");
        let Greeting::Refused { reason } = side.turned_away(why) else { panic!("not refused") };
        // It is the other one that reads this.
        assert!(reason.contains(&format!("it speaks version {VERSION}")), "{reason}");
        assert!(reason.contains("this node version 99"), "{reason}");
        assert!(!reason.contains("mesh"), "{reason}");

        let mut stranger = Admission::new(role, mesh(8), node(2), node(1));
        let knock = Knock { version: 99, ..Knock::new(mesh(7), node(1), node(2)) };
        let why = stranger.came(Greeting::Knock(knock)).unwrap_err();
        assert_eq!(stranger.turned_away(why), Greeting::stranger());
    }
}

#[test]
fn a_refusal_names_the_mesh_to_nobody_and_says_nothing_to_strangers() {
    let mut side = Admission::new(Role::Listener, mesh(7), node(2), node(1));
    let (id, number) = (mesh(7).to_string(), mesh(7).to_string().split_off("mesh:".len()));
    let why = format!("the paper is not signed by {id}, but by authority:{number}");
    assert_eq!(side.refusal(&why), Greeting::stranger());
    assert_eq!(side.limit(), MAX_KNOCK);
    side.came(Greeting::Knock(Knock::new(mesh(7), node(1), node(2)))).unwrap();
    assert_eq!(side.limit(), MAX_HELLO);
    let reason = "the paper is not signed by this mesh, but by authority:…".into();
    assert_eq!(side.refusal(&why), Greeting::Refused { reason });
}

/// What a peer may say: a good knock is one of them.
fn anything() -> impl Strategy<Value = Greeting> {
    let good = Knock::new(mesh(7), node(1), node(2));
    let reflected = Knock::new(mesh(7), node(2), node(1));
    let strange = Knock::new(mesh(8), node(1), node(2));
    prop_oneof![
        Just(Greeting::Admitted),
        Just(Greeting::Refused { reason: "because".into() }),
        Just(Greeting::Knock(good.clone())),
        Just(Greeting::Knock(Knock { version: 99, ..good })),
        Just(Greeting::Knock(reflected)),
        Just(Greeting::Knock(strange)),
        any::<[u8; 32]>().prop_map(|token| Greeting::Knock(Knock { version: VERSION, token })),
        Just(Greeting::Hello(hello())),
    ]
}

proptest! {
    #[test]
    fn whatever_is_said_nothing_is_shown_before_a_good_knock_and_nobody_is_in_before_a_paper(
        is_dialler in any::<bool>(),
        is_good in any::<bool>(),
        said in prop::collection::vec(anything(), 0..8),
    ) {
        let role = if is_dialler { Role::Dialler } else { Role::Listener };
        let mut side = Admission::new(role, mesh(7), node(2), node(1));
        let (mut knocked, mut judged, mut over) = (false, false, false);
        for greeting in said {
            let is_knock = matches!(&greeting, Greeting::Knock(knock)
                if knock.version == VERSION && knock.is_of(mesh(7), node(1), node(2)));
            let mut step = side.came(greeting);
            if over {
                prop_assert_eq!(step, Err(Unwelcome::OutOfTurn));
                continue;
            }
            knocked |= is_knock;
            if let Ok(Step::Judge(_)) = &step {
                prop_assert!(knocked);
                if is_good {
                    judged = true;
                    step = side.found_good();
                }
            }
            match &step {
                Ok(Step::Say(_) | Step::Show) => prop_assert!(knocked),
                Ok(Step::Admit | Step::In) => prop_assert!(knocked && judged),
                Ok(Step::Judge(_)) => prop_assert!(!is_good),
                Ok(Step::Hear) => prop_assert!(false, "it is heard anyway"),
                Ok(Step::Out(_)) | Err(_) => {}
            }
            let refusal = side.refusal("of mesh seven");
            prop_assert!(side.knows || refusal == Greeting::stranger());
            over = matches!(step, Ok(Step::Admit | Step::In | Step::Out(_)) | Err(_));
        }
    }
}
