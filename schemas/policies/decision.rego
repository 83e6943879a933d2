# May this identity use this tool on this surface, for this purpose, now? Denied unless nothing speaks against it.
#
# input: {"caller": {"name", "role", "groups"}, "role": {"purposes": [...], "surfaces": [...]}, "surface", "tool",
#         "purpose", "scopes": [...], "now": seconds since 1970, "expires": seconds since 1970 or 0 for never}
#
# Each rule of `deny` gives a reason. tests/decision.yaml must have a case that fails without it: `headwater policy
# test` leaves one rule out after the other, rules being what stands between blank lines. No `with`: it crashes regopy.
package headwater.decision

import rego.v1

deny contains "surface" if not input.surface in input.role.surfaces

deny contains "purpose" if not input.purpose in input.role.purposes

# An API key or a token may be narrower than its owner: `<surface>:<tool>`, `<surface>:*` or `*`.
deny contains "scope" if not in_scope

in_scope if "*" in input.scopes

in_scope if sprintf("%s:*", [input.surface]) in input.scopes

in_scope if sprintf("%s:%s", [input.surface, input.tool]) in input.scopes

deny contains "expired" if not unexpired

unexpired if input.expires == 0

unexpired if input.now < input.expires

# Whoever looks at single persons does so by hand, never through an agent's or a program's surface.
deny contains "privacy" if {
	input.purpose == "privacy_request"
	input.surface != "clickhouse"
}
