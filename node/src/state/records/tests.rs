//! Records on a disk that fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use wattle_contracts::record::{App, Hlc, RecordBody};
use wattle_mesh::core::records::{Limits, Output, Records};

use super::*;

fn key() -> SigningKey {
    SigningKey::from_seed([5; 32]).unwrap()
}

fn record(number: usize) -> Record {
    let name: wattle_contracts::id::AppName = format!("app-{number}").parse().unwrap();
    let at = Hlc { millis: 1_800_000_000_000 + number as u64, counter: 0 };
    let body = RecordBody::App(Box::new(App::new(name.clone())));
    Record::sign(&key(), RecordKey::App(name), at, body).unwrap()
}

fn open(path: &Path) -> Result<RecordTable> {
    Ok(RecordTable::new(Database::open(path)?, &key()))
}

fn write(path: &Path, records: &[Record]) {
    let table = open(path).unwrap();
    table.load().unwrap();
    for some in records.chunks(1000) {
        let writes: Vec<Write> =
            some.iter().map(|record| Write::Current(Arc::new(record.clone()))).collect();
        table.persist(&writes).unwrap();
    }
}

#[test]
fn what_was_written_is_read_and_what_lost_and_was_let_go_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let (one, two) = (record(1), record(2));
    write(&path, &[one.clone(), two.clone()]);
    let table = open(&path).unwrap();
    table.load().unwrap();
    let lost = Write::Lost(Arc::new(two.clone()));
    table.persist(&[lost]).unwrap();
    let stored = |record, is_lost| Stored { record, is_lost, is_verified: true };
    let loaded = table.load().unwrap();
    let current = [stored(one, false), stored(two.clone(), false)];
    assert_eq!(loaded.records, [current.as_slice(), &[stored(two.clone(), true)]].concat());
    table.persist(&[Write::LostGone(two.key, two.version)]).unwrap();
    drop(table);
    assert_eq!(open(&path).unwrap().load().unwrap().records, current);
}

#[test]
fn a_row_that_this_node_did_not_seal_is_not_taken_on_trust() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    write(&path, &[record(1)]);
    let copy = folder.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    let other = SigningKey::from_seed([6; 32]).unwrap();
    let other = RecordTable::new(Database::open(&copy).unwrap(), &other).load().unwrap();
    assert!(!other.records[0].is_verified && other.damaged[0].contains("which tables"));
    let database = Database::open(&path).unwrap();
    // A row under another key, and one that is cut off.
    database
        .write_blocking(|transaction| {
            let mut table = transaction.open_table(Rows::new("records-0"))?;
            let value = table.get("app/app-1")?.unwrap().value().to_vec();
            table.insert("app/app-2", value.as_slice())?;
            table.insert("app/app-3", &value[..10])?;
            table.insert("app/app-4", &value[..value.len() - 1])?;
            Ok(())
        })
        .unwrap();
    let loaded = RecordTable::new(database, &key()).load().unwrap();
    // That there are too many is told as well.
    assert_eq!((loaded.records.len(), loaded.damaged.len()), (1, 4));
    assert!(loaded.damaged[1].starts_with("app/app-2: "), "{:?}", loaded.damaged);
}

/// Changes the bytes of one row, past the table.
fn edit_row(path: &Path, key: &'static str, edit: fn(&mut Vec<u8>)) {
    let database = Database::open(path).unwrap();
    database
        .write_blocking(move |transaction| {
            let mut table = transaction.open_table(Rows::new("records-0"))?;
            let mut value = table.get(key)?.unwrap().value().to_vec();
            edit(&mut value);
            table.insert(key, value.as_slice())?;
            Ok(())
        })
        .unwrap();
}

/// Breaks the page that `record` is on, and with it a table in the middle.
fn break_page_of(path: &Path, record: &Record) {
    const PAGE: usize = 4096;
    let needle = wire::encode(record).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    let places = bytes.windows(needle.len()).enumerate();
    let places: Vec<usize> =
        places.filter(|(_, bytes)| *bytes == needle).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        // How many rows it holds; what is before that redb looks at when it opens the file.
        bytes[at / PAGE * PAGE + 2..][..2].fill(0xff);
    }
    std::fs::write(path, bytes).unwrap();
}

fn find<'a>(loaded: &'a Loaded, record: &Record) -> Option<&'a Stored> {
    loaded.records.iter().find(|stored| stored.record.key == record.key)
}

#[test]
fn a_sound_record_with_a_broken_seal_outlives_a_broken_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let records: Vec<Record> = (0..400).map(record).collect();
    write(&path, &records);
    edit_row(&path, "app/app-7", |value| value[0] ^= 1);
    // Of this one the signature does not hold either.
    edit_row(&path, "app/app-8", |value| *value.last_mut().unwrap() ^= 1);
    break_page_of(&path, &records[250]);
    let loaded = open(&path).unwrap().load().unwrap();
    assert!(loaded.damaged[0].contains("broken in the middle"), "{:?}", loaded.damaged);
    assert!((300..400).contains(&loaded.records.len()), "{}", loaded.records.len());
    assert!(find(&loaded, &records[250]).is_none());
    assert!(!find(&loaded, &records[7]).unwrap().is_verified);
    assert!(find(&loaded, &records[8]).unwrap().record.verify().is_err());
    // At every later start all that was sound is there, and is sealed.
    for _ in 0..2 {
        let again = open(&path).unwrap().load().unwrap();
        assert!(again.damaged.is_empty(), "{:?}", again.damaged);
        assert_eq!(again.records.len(), loaded.records.len() - 1);
        assert!(again.records.iter().all(|stored| stored.is_verified));
        assert_eq!(find(&again, &records[7]).unwrap().record, records[7]);
        assert!(find(&again, &records[8]).is_none());
    }
}

#[test]
fn where_new_tables_can_not_be_written_the_old_ones_stay_in_use() {
    // redb refuses to write rows to a table of another kind, once the first table is there.
    const OTHER: redb::MultimapTableDefinition<'_, &str, &str> =
        redb::MultimapTableDefinition::new("lost-1");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let records: Vec<Record> = (0..400).map(record).collect();
    write(&path, &records);
    let database = Database::open(&path).unwrap();
    let block = |transaction: &WriteTransaction| {
        transaction.open_multimap_table(OTHER)?;
        // Left by an earlier attempt.
        transaction.open_table(Rows::new("records-1"))?.insert("left", [1].as_slice())?;
        Ok(())
    };
    database.write_blocking(block).unwrap();
    drop(database);
    break_page_of(&path, &records[250]);
    for _ in 0..2 {
        let table = open(&path).unwrap();
        assert!(table.load().is_err());
        assert_eq!(
            (table.table(Kind::Current).as_str(), table.read_in_use().unwrap().unwrap().generation),
            ("records-0", 0)
        );
        let (rows, broken) = table.rows(Kind::Current).unwrap();
        assert!(rows.len() > 300 && broken.is_some());
    }
    let table = open(&path).unwrap();
    table
        .database
        .write_blocking(|transaction| Ok(transaction.delete_multimap_table(OTHER)?))
        .unwrap();
    let loaded = table.load().unwrap();
    assert!(loaded.records.len() > 300);
    assert_eq!(table.table(Kind::Current), "records-1");
    let again = table.load().unwrap();
    assert_eq!((again.records, again.damaged), (loaded.records, Vec::new()));
}

/// What a node holds after it has started on a damaged file, and whether it could.
fn start(path: &Path, honest: &BTreeMap<RecordKey, Record>) -> Result<(usize, usize), String> {
    let table = open(path).map_err(|error| format!("{error:#}"))?;
    let loaded = table.load().map_err(|error| format!("{error:#}"))?;
    let mut out = Vec::new();
    let me = wattle_contracts::id::NodeId::from_bytes(key().public());
    let mut damaged = loaded.damaged.len();
    let records = Records::load(me, Limits::default(), loaded.records, &mut out);
    damaged += out.iter().filter(|output| matches!(output, Output::Refused { .. })).count();
    // Whatever is left is what was written, byte for byte.
    for held in records.iter() {
        assert_eq!(Some(held.as_ref()), honest.get(&held.key));
    }
    // The node can be told something new, and keeps it.
    let new = record(1_000_000);
    table
        .persist(&[Write::Current(Arc::new(new.clone()))])
        .map_err(|error| format!("{error:#}"))?;
    drop(table);
    let again = open(path).and_then(|table| table.load()).map_err(|error| format!("{error:#}"))?;
    assert!(again.records.iter().any(|stored| stored.record == new));
    Ok((records.size().0, damaged))
}

#[test]
fn a_flipped_bit_costs_what_it_hit_and_is_told() {
    const ROWS: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("db"), folder.path().join("copy"));
    let records: Vec<Record> = (0..ROWS).map(record).collect();
    write(&path, &records);
    let honest: BTreeMap<RecordKey, Record> =
        records.iter().map(|record| (record.key.clone(), record.clone())).collect();
    let whole = std::fs::read(&path).unwrap();
    // Where the bit hits the bytes of a record.
    let mut rng = SmallRng::seed_from_u64(1);
    for number in 0..20 {
        let needle = wire::encode(&records[number * 17]).unwrap();
        let places = whole.windows(needle.len()).enumerate();
        let places: Vec<usize> =
            places.filter(|(_, bytes)| *bytes == needle).map(|(at, _)| at).collect();
        let mut bytes = whole.clone();
        let within = rng.random_range(0..needle.len());
        for at in places {
            bytes[at + within] ^= 1 << rng.random_range(0..8);
        }
        std::fs::write(&copy, &bytes).unwrap();
        assert_eq!(start(&copy, &honest), Ok((ROWS - 1, 1)), "bit in byte {within}");
    }
    // Anywhere at all: the node starts with what is left and says what is not, or says why not.
    let (mut fine, mut hurt, mut refused) = (0, 0, 0);
    for _ in 0..150 {
        let mut bytes = whole.clone();
        let at = rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << rng.random_range(0..8);
        std::fs::write(&copy, &bytes).unwrap();
        match start(&copy, &honest) {
            Ok((ROWS, 0)) => fine += 1,
            Ok((left, damaged)) => {
                assert!(damaged > 0, "byte {at}: {left} are left, and nothing is said");
                hurt += 1;
            }
            Err(why) => {
                assert!(why.contains("database") || why.contains("records"), "{why}");
                refused += 1;
            }
        }
    }
    println!("150 bits anywhere: {fine} harmless, {hurt} told and lived with, {refused} refused");
}

/// What befalls a database.
type Damage = fn(&WriteTransaction) -> Result<()>;

#[test]
fn a_damaged_number_of_the_tables_or_name_of_one_is_told_and_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<Record> = (0..40).map(record).collect();
    let damage: [(&str, Damage); 6] = [
        ("number", |transaction| {
            let mut table = transaction.open_table(IN_USE)?;
            let mut value = table.get("")?.unwrap().value().to_vec();
            value[SEAL_BYTES] ^= 0x80;
            table.insert("", value.as_slice())?;
            Ok(())
        }),
        ("no number", |transaction| {
            transaction.open_table(IN_USE)?.remove("")?;
            Ok(())
        }),
        ("no table of it", |transaction| {
            transaction.delete_table(IN_USE)?;
            Ok(())
        }),
        ("name", |transaction| {
            let (from, to) = (Rows::new("records-0"), Rows::new("records-1"));
            Ok(transaction.rename_table(from, to)?)
        }),
        ("the highest name", |transaction| {
            let (from, to) = (Rows::new("records-0"), Rows::new("records-18446744073709551615"));
            Ok(transaction.rename_table(from, to)?)
        }),
        ("the other name", |transaction| {
            Ok(transaction.rename_table(Rows::new("lost-0"), Rows::new("lost-8"))?)
        }),
    ];
    for (nth, (what, damage)) in damage.into_iter().enumerate() {
        let path = folder.path().join(nth.to_string());
        write(&path, &records);
        let table = open(&path).unwrap();
        table.load().unwrap();
        table.persist(&[Write::Lost(Arc::new(records[3].clone()))]).unwrap();
        table.database.write_blocking(damage).unwrap();
        drop(table);
        let loaded = open(&path).unwrap().load().unwrap();
        assert!(loaded.damaged[0].contains("which tables"), "{what}: {:?}", loaded.damaged);
        assert_eq!((loaded.records.len(), loaded.damaged.len()), (41, 1), "{what}");
        let again = open(&path).unwrap().load().unwrap();
        assert_eq!((again.records.len(), again.damaged), (41, vec![]), "{what}");
    }
}

#[test]
fn a_table_that_is_suddenly_empty_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    write(&path, &(0..40).map(record).collect::<Vec<_>>());
    let table = open(&path).unwrap();
    table
        .database
        .write_blocking(|transaction| {
            let mut rows = transaction.open_table(Rows::new("records-0"))?;
            rows.retain(|_, _| false)?;
            Ok(())
        })
        .unwrap();
    let loaded = table.load().unwrap();
    assert_eq!(loaded.damaged, ["the table records-0 has 0 rows, and should have 40"]);
    assert!(table.load().unwrap().damaged.is_empty());
}

/// `WATTLE_FLIPS=100000` flips one in each sixteen bytes that are not all zero.
#[test]
fn a_bit_flipped_in_any_region_of_the_file_is_harmless_or_told() {
    const ROWS: usize = 30;
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("db"), folder.path().join("copy"));
    let records: Vec<Record> = (0..ROWS).map(record).collect();
    write(&path, &records);
    let honest = records.iter().map(|record| (record.key.clone(), record.clone())).collect();
    let whole = std::fs::read(&path).unwrap();
    let regions: Vec<usize> =
        (0..whole.len() / 16).filter(|at| whole[at * 16..][..16] != [0; 16]).collect();
    let flips = std::env::var("WATTLE_FLIPS").ok().and_then(|text| text.parse().ok());
    let step = (regions.len() / flips.unwrap_or(150usize)).max(1);
    let mut rng = SmallRng::seed_from_u64(2);
    let (mut fine, mut hurt, mut refused) = (0, 0, 0);
    for region in regions.iter().step_by(step) {
        let mut bytes = whole.clone();
        let at = region * 16 + rng.random_range(0..16);
        bytes[at] ^= 1 << rng.random_range(0..8);
        std::fs::write(&copy, &bytes).unwrap();
        match start(&copy, &honest) {
            Ok((ROWS, _)) => fine += 1,
            Ok((left, damaged)) => {
                assert!(damaged > 0, "byte {at}: {left} are left, and nothing is said");
                hurt += 1;
            }
            Err(_) => refused += 1,
        }
    }
    println!("a bit in each region: {fine} cost nothing, {hurt} told, {refused} refused");
}

#[test]
fn a_file_that_was_cut_short_is_refused_by_name_or_read_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("db"), folder.path().join("copy"));
    let records: Vec<Record> = (0..400).map(record).collect();
    write(&path, &records);
    let honest: BTreeMap<RecordKey, Record> =
        records.iter().map(|record| (record.key.clone(), record.clone())).collect();
    let whole = std::fs::read(&path).unwrap();
    let (mut lived, mut refused) = (0, 0);
    for share in 0..40 {
        std::fs::write(&copy, &whole[..whole.len() * share / 40]).unwrap();
        match start(&copy, &honest) {
            // Cut to nothing, it is a new one.
            Ok(_) => lived += 1,
            Err(why) => {
                assert!(why.contains("database") || why.contains("records"), "{why}");
                refused += 1;
            }
        }
    }
    println!("40 files cut short: {lived} lived with, {refused} refused");
}

/// `WATTLE_LOAD=100000` measures more.
#[test]
fn loading_does_not_check_every_signature_again() {
    let count = std::env::var("WATTLE_LOAD").ok().and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(2_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    write(&path, &(0..count).map(record).collect::<Vec<_>>());
    let begun = Instant::now();
    let table = open(&path).unwrap();
    let loaded = table.load().unwrap();
    assert!(loaded.records.iter().all(|stored| stored.is_verified));
    let read = begun.elapsed();
    let me = wattle_contracts::id::NodeId::from_bytes(key().public());
    let mut records = Records::load(me, Limits::default(), loaded.records, &mut Vec::new());
    records.root();
    assert_eq!(records.size().0, count);
    println!("{count} records: read in {read:?}, and hashed after {:?}", begun.elapsed());
}
