//! Which guests there are, and what each may ask of its host.

/// One component.
pub(crate) struct Guest {
    /// Its name in `target/guests`.
    pub(crate) file: &'static str,
    pub(crate) made_by: MadeBy,
    /// How the name of each interface that it imports must begin.
    pub(crate) may_import: &'static [&'static str],
    /// The interfaces that it exports.
    pub(crate) exports: &'static [&'static str],
}

/// Where the source is.
pub(crate) enum MadeBy {
    /// The package of this name in the guests' workspace.
    Rust(&'static str),
    /// The folder `counter-c`.
    C,
}

const HTTP: &[&str] = &["wasi:http/incoming-handler@0.2.12"];

/// The guests that are measured import nothing that they don't need; the others stand on the standard library, as
/// people's components do.
pub(crate) const GUESTS: &[Guest] = &[
    Guest {
        file: "announcer.wasm",
        made_by: MadeBy::Rust("announcer"),
        may_import: &["wasi:", "wattle:messaging/"],
        exports: &["example:messages/announcer@0.1.0"],
    },
    Guest {
        file: "basket.wasm",
        made_by: MadeBy::Rust("basket"),
        may_import: &["example:shop/pricing@", "example:shop/types@", "wasi:"],
        exports: &["example:shop/basket@0.1.0"],
    },
    Guest {
        file: "counter.wasm",
        made_by: MadeBy::Rust("counter"),
        may_import: &["wasi:"],
        exports: HTTP,
    },
    Guest {
        file: "counter_c.wasm",
        made_by: MadeBy::C,
        may_import: &["wasi:config/", "wasi:http/", "wasi:io/", "wasi:keyvalue/", "wasi:logging/"],
        exports: HTTP,
    },
    Guest {
        file: "courier.wasm",
        made_by: MadeBy::Rust("courier"),
        may_import: &["wasi:http/", "wasi:io/"],
        exports: HTTP,
    },
    Guest {
        file: "echo.wasm",
        made_by: MadeBy::Rust("echo"),
        may_import: &[],
        exports: &["wattle:bench/echo@0.1.0"],
    },
    Guest {
        file: "hello.wasm",
        made_by: MadeBy::Rust("hello"),
        may_import: &["wasi:http/", "wasi:io/"],
        exports: HTTP,
    },
    Guest {
        file: "keeper.wasm",
        made_by: MadeBy::Rust("keeper"),
        may_import: &["wasi:", "wattle:secrets/store@"],
        exports: &["example:secrets/keeper@0.1.0"],
    },
    Guest {
        file: "ledger.wasm",
        made_by: MadeBy::Rust("ledger"),
        may_import: &["wasi:", "wattle:messaging/types@"],
        exports: &["wattle:messaging/incoming-handler@0.1.0", "example:messages/ledger@0.1.0"],
    },
    Guest {
        file: "misbehave.wasm",
        made_by: MadeBy::Rust("misbehave"),
        may_import: &["wasi:"],
        exports: &["wattle:bench/misbehave@0.1.0"],
    },
    Guest {
        file: "pricing.wasm",
        made_by: MadeBy::Rust("pricing"),
        may_import: &["example:shop/types@", "wasi:"],
        exports: &["example:shop/pricing@0.1.0"],
    },
    Guest {
        file: "relay.wasm",
        made_by: MadeBy::Rust("relay"),
        may_import: &["wasi:clocks/monotonic-clock@", "wattle:bench/echo@0.1.0"],
        exports: &["wattle:bench/relay@0.1.0"],
    },
    Guest {
        file: "streamer.wasm",
        made_by: MadeBy::Rust("streamer"),
        may_import: &["wasi:http/", "wasi:io/"],
        exports: HTTP,
    },
];
