//! Nodes whose wall clocks are wrong.

use super::*;

fn config(name: u8) -> RecordKey {
    RecordKey::Config(format!("app/component/k{name}").parse().unwrap())
}

fn value(number: u64) -> RecordBody {
    RecordBody::Config(wattle_contracts::record::Config { value: number.to_string() })
}

fn fresh(writer: u8) -> Records {
    let me = NodeId::from_bytes(key(writer).public());
    Records::load(me, Limits::default(), [], &mut Vec::new())
}

/// Writes at a node, whose wall clock shows `wall`.
fn write(
    records: &mut Records,
    writer: u8,
    wall: UnixMillis,
    name: u8,
    number: u64,
) -> Result<Record, Refusal> {
    let record = records.sign(wall, &key(writer), config(name), value(number)).unwrap();
    records.put(Time::ZERO, wall, record.clone(), &mut rng(), &mut Vec::new())?;
    Ok(record)
}

fn tell(records: &mut Records, wall: UnixMillis, record: Record) -> Vec<Output> {
    let mut out = Vec::new();
    records.handle(Time::ZERO, wall, node(7), push(vec![record]), &mut rng(), &mut out);
    out
}

proptest! {
    /// However far the clock of one is set back, also across a restart: it takes changes, they come
    /// after all that it has seen, and the other, whose clock is right, takes them at once.
    #[test]
    fn a_node_whose_clock_is_behind_writes_and_is_believed(
        steps in prop::collection::vec((0u8..4, 0u8..3, 0u64..30_000, 0u64..10_000_000), 1..60),
    ) {
        let (mut right, mut behind) = (fresh(1), fresh(2));
        let mut wall = WALL;
        let first = write(&mut right, 1, wall, 0, 0).unwrap();
        tell(&mut behind, wall, first);
        for (number, (who, name, passes, back)) in (0u64..).zip(steps) {
            wall = UnixMillis(wall.0 + passes);
            let its = UnixMillis(wall.0 - back);
            match who {
                0 => {
                    let record = write(&mut right, 1, wall, name, number).unwrap();
                    tell(&mut behind, its, record);
                }
                1 => {
                    let stored = behind.iter().map(|record| stored(Record::clone(record)));
                    let stored: Vec<Stored> = stored.collect();
                    let me = NodeId::from_bytes(key(2).public());
                    behind = Records::load(me, Limits::default(), stored, &mut Vec::new());
                }
                _ => {
                    let before = behind.iter().map(|record| record.version.at).max();
                    let written = write(&mut behind, 2, its, name, number);
                    let record = match written {
                        Ok(record) => record,
                        // Nothing was heard for a minute before it: nobody else may have been there.
                        Err(Refusal::TooFarAhead { .. }) => {
                            let others = behind.iter().filter(|r| r.version.writer != behind.me);
                            let heard = others.map(|r| r.version.at.millis).max().unwrap_or(0);
                            prop_assert!(before.unwrap().millis > heard + 60_000);
                            continue;
                        }
                        Err(other) => return Err(TestCaseError::fail(other.to_string())),
                    };
                    prop_assert!(Some(record.version.at) > before);
                    let out = tell(&mut right, wall, record.clone());
                    let refused = out.iter().any(|o| matches!(o, Output::Refused { .. }));
                    prop_assert!(!refused, "{out:?}");
                }
            }
        }
    }
}

#[test]
fn a_node_whose_clock_was_far_ahead_says_so_when_it_is_right_again() {
    let mut ahead = fresh(2);
    let other = write(&mut fresh(1), 1, WALL, 0, 0).unwrap();
    tell(&mut ahead, WALL, other);
    let far = UnixMillis(WALL.0 + 3_600_000);
    write(&mut ahead, 2, far, 1, 1).unwrap();
    let refused = write(&mut ahead, 2, WALL, 1, 2);
    assert!(matches!(refused, Err(Refusal::TooFarAhead { .. })), "{refused:?}");
    write(&mut ahead, 2, UnixMillis(far.0 - 60_000), 1, 3).unwrap();
}
