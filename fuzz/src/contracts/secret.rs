//! Sealed secrets.

use wattle_contracts::record::{ConfigKey, Secret};
use wattle_contracts::secret;
use wattle_contracts::wire;

use super::member;
use super::written::same_again;

/// A secret that was sealed once, to [`super::node`]: sealing draws random numbers, and inputs are
/// to mean the same each time.
const SEALED: &str = include_str!("secret.hex");
const NAME: &str = "shop/basket/token";
const VALUE: &[u8] = b"hush";

/// Nothing opens but what was sealed, under its own name.
pub fn holds(data: &[u8]) {
    let Some((name, sealed)) = same_again::<(ConfigKey, Secret)>(data) else { return };
    let _ = sealed.check();
    if let Ok(value) = secret::open(&name, &sealed, &member()) {
        assert_eq!((name.to_string().as_str(), value.as_slice()), (NAME, VALUE));
        assert!(sealed.is_for(super::node()));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let about: ConfigKey = NAME.parse().unwrap();
    let sealed = SEALED.trim();
    let bytes = (0..sealed.len()).step_by(2).map(|at| u8::from_str_radix(&sealed[at..at + 2], 16));
    let genuine: Secret = wire::decode(&bytes.map(Result::unwrap).collect::<Vec<_>>()).unwrap();
    assert_eq!(secret::open(&about, &genuine, &member()).as_deref().map(Vec::as_slice), Ok(VALUE));
    let other: ConfigKey = "shop/mirror/token".parse().unwrap();
    let seeds = [(about.clone(), genuine.clone()), (other, genuine.clone())];
    let none = (about, Secret { keys: Vec::new(), ..genuine });
    seeds.into_iter().chain([none]).map(|seed| wire::encode(&seed).unwrap()).collect()
}
