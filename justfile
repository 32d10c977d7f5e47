# `just` lists these. Each is one line of cargo; nothing here is needed to build.

default:
    @just --list

# Formatting, lints, licences
check:
    cargo xtask check

# Guests, all tests, the demo
test *args:
    cargo xtask test -- {{args}}

# Any bytes on everything that reads what others wrote
fuzz *args:
    cargo xtask fuzz {{args}}

# Measurements, with the release profile
bench *args:
    cargo xtask bench -- {{args}}

# The WebAssembly components under tests/guests
guests:
    cargo xtask guests

# A mesh on this machine, with an application in it
demo:
    cargo run --package wattle-node --bin wattle -- demo

# What continuous integration runs
ci:
    bash .ci/run
