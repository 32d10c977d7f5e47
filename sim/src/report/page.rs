//! The page around what is in it.

use super::text;

const STYLE: &str = "
:root { --back: #fbfbf9; --fore: #1c2024; --soft: #6a7178; --line: #d9dcdf; --cut: #d9822b33;
  --cut-edge: #b5651d; --one: #1f6fd1; --two: #b8480f; --good: #1a7f43; --bad: #c0282d; --fill: #eef1f4; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171a; --fore: #e6e8ea; --soft: #98a1a9; --line: #343a40; --cut: #d9822b3d;
    --cut-edge: #f0a35a; --one: #6fb1ff; --two: #ff9d66; --good: #5fd38a; --bad: #ff7b7b; --fill: #20252a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; background: var(--back);
  color: var(--fore); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
.about { max-width: 46rem; }
.small, figcaption { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 500; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1.25rem 0; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 34rem; height: auto; }
svg text { fill: var(--fore); font: 12px system-ui, sans-serif; }
svg .soft { fill: var(--soft); }
svg .end { text-anchor: end; }
svg .mid { text-anchor: middle; }
svg .axis { stroke: var(--line); fill: none; }
svg .cut { fill: var(--cut); }
svg .edge { stroke: var(--cut-edge); }
svg .one { stroke: var(--one); fill: none; stroke-width: 1.6; }
svg .two { stroke: var(--two); fill: none; stroke-width: 1.6; stroke-dasharray: 5 3; }
svg .bar { fill: var(--one); }
svg .node { fill: var(--fill); stroke: var(--one); }
svg .group { fill: none; stroke: var(--line); stroke-width: 1.5; }
svg .wire { stroke: var(--soft); fill: none; }
svg .doubt { fill: var(--bad); }
svg .lane { fill: var(--fill); }
.key { display: inline-block; width: 1.6rem; border-top: 3px solid; vertical-align: middle;
  margin: 0 .3rem 0 1rem; }
";

pub(super) fn whole(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" \
         content=\"light dark\"><title>{}</title><style>{STYLE}</style></head><body>{body}</body>\
         </html>\n",
        text(title)
    )
}
