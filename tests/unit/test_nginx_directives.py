"""Which directives are complete in themselves; each was tried with nginx before a server block's end."""

import pytest
from ansible_collections.homeport.django.plugins.module_utils.validation.nginx_directives import misshapen

WHOLE = [
    "",
    "# a comment } with ' and {",
    "set $x 'a;b} {';",
    'return 200 "User-agent: *\\nDisallow: /\\n";',
    'return 200 "two\n  lines \\" and }";',
    "location = /a { return 204; }",
    "location /a {\n    location /a/b { return 204; }\n}\n# end",
    'if ($uri ~ "^/a{1,2}$") { return 404; }',
    "set $x ${host}a;",
    "set $x \\;;",
    "add_header X 'é';",
    "access_by_lua_block { if x then y = '}' end }",
]
BROKEN = [
    ("}", "one } too many in line 1"),
    ("location /a { return 204; }\n}", "one } too many in line 2"),
    ("}\nserver { listen 81;", "one } too many in line 1"),
    ("location /a {", "one } too few in line 1"),
    ("return 204", "a directive without ; at its end in line 1"),
    ("set $x 1;\nset $y 'a;", "a quote that is not closed in line 2"),
    ("set $x 'a'b;", "something right after a closing quote in line 1"),
    (";", "unexpected ; in line 1"),
    ("{ }", "unexpected { in line 1"),
    ("location /a { return 204 }", "unexpected } in line 1"),
    ("set $x a{b;", "one } too few in line 1"),
    (f"set $x {'x' * 4001};", "a word of more than 4000 bytes in line 1"),
]


@pytest.mark.parametrize("text", WHOLE)
def test_whole(text: str) -> None:
    assert misshapen(text) == ""


@pytest.mark.parametrize(("text", "told"), BROKEN)
def test_broken(text: str, told: str) -> None:
    assert misshapen(text) == told
