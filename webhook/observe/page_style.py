"""Define the style of the status page, inside the page itself, so that it does not load other resources.

Text on its background has a contrast of 7 to 1 or more, in light and in dark. States are words; colour is only an
addition.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #4a525c; --line: #c9ced6; --band: #f3f5f8;
  --good: #0b5d2a; --bad: #8f0f1d; --mind: #6b4700; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceff3; --paper: #14171b; --faint: #b9c0c9; --line: #434a54;
  --band: #1e2329; --good: #7fe0a2; --bad: #ffa3ab; --mind: #f3cd7d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; } .faint { color: var(--faint); }
a { color: inherit; } a:focus, input:focus, select:focus, button:focus { outline: 3px solid currentColor; }
.skip { position: absolute; left: -100rem; } .skip:focus { position: static; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .5rem; margin: 1rem 0; }
dl div { border: 1px solid var(--line); border-left-width: .4rem; border-radius: .3rem; padding: .5rem .75rem; }
dt { color: var(--faint); font-size: .9rem; } dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.good { border-left-color: var(--good); } .bad { border-left-color: var(--bad); }
.mind { border-left-color: var(--mind); }
.state-current { color: var(--good); } .state-failing, .state-conflicting { color: var(--bad); font-weight: 600; }
.state-missing, .state-stale, .state-kept, .state-leaving { color: var(--mind); font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; color: var(--faint); padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
thead th { background: var(--band); } tbody th { font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; margin: .5rem 0; }
label { display: grid; gap: .2rem; font-size: .9rem; }
input, select, button { font: inherit; min-height: 2.4rem; padding: .35rem .6rem; color: inherit;
  background: var(--paper); border: 1px solid var(--faint); border-radius: .3rem; }
nav ul { display: flex; gap: 1rem; list-style: none; padding: 0; margin: .75rem 0; }
"""

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The browser runs no script and loads nothing, even if a name on the page is hostile."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
