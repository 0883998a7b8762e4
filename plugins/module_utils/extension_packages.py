# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which Debian package brings an extension of PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.wiring import Apps, postgres_databases

# In whose place the module packages puts the version of the host's PostgreSQL.
VERSION = "{version}"

# Part of the server's own package.
# fmt: off
CONTRIB = frozenset((
    "adminpack", "amcheck", "autoinc", "bloom", "btree_gin", "btree_gist", "citext", "cube", "dblink", "dict_int",
    "dict_xsyn", "earthdistance", "file_fdw", "fuzzystrmatch", "hstore", "insert_username", "intagg", "intarray",
    "isn", "lo", "ltree", "moddatetime", "pageinspect", "pg_buffercache", "pg_freespacemap", "pg_prewarm",
    "pg_stat_statements", "pg_surgery", "pg_trgm", "pg_visibility", "pg_walinspect", "pgcrypto", "pgrowlocks",
    "pgstattuple", "plpgsql", "postgres_fdw", "refint", "seg", "sslinfo", "tablefunc", "tcn", "tsm_system_rows",
    "tsm_system_time", "unaccent", "uuid-ossp", "xml2",
))
# fmt: on
POSTGIS = (
    "postgis",
    "postgis_raster",
    "postgis_sfcgal",
    "postgis_tiger_geocoder",
    "postgis_topology",
    "address_standardizer",
    "address_standardizer_data_us",
)  # fmt: skip
# Those of other packages, in every supported release of Debian and Ubuntu unless FIRST says otherwise.
BROUGHT = {
    **dict.fromkeys(POSTGIS, f"postgresql-{VERSION}-postgis-3"),
    **{
        name: f"postgresql-{VERSION}-{package}"
        for name, package in (
            ("pgrouting", "pgrouting"), ("vector", "pgvector"), ("debversion", "debversion"), ("hll", "hll"),
            ("hypopg", "hypopg"), ("ip4r", "ip4r"), ("mysql_fdw", "mysql-fdw"), ("ogr_fdw", "ogr-fdw"),
            ("orafce", "orafce"), ("periods", "periods"), ("pg_partman", "partman"), ("pg_similarity", "similarity"),
            ("prefix", "prefix"), ("rum", "rum"), ("semver", "semver"), ("tds_fdw", "tds-fdw"), ("unit", "unit"),
        )
    },
    **{
        name: f"postgresql-{language}-{VERSION}"
        for name, language in (("plperl", "plperl"), ("plperlu", "plperl"), ("plpython3u", "plpython3"),
                               ("pltcl", "pltcl"), ("pltclu", "pltcl"))
    },
}  # fmt: skip
FIRST = {"vector": {"debian": (13,), "ubuntu": (24, 4)}}


def package_of(extension: str, named: Mapping[str, str]) -> str:
    """The package that brings an extension; empty where that is the server's own, or not known."""
    return str(named.get(extension) or BROUGHT.get(extension, ""))


def extension_packages(databases: Iterable[Mapping[str, Any]], named: Mapping[str, str]) -> list[str]:
    """What the extensions of databases need beside the server. ``named`` are the user's own packages by extension."""
    found = {
        package_of(extension, named) for database in databases for extension in database.get("extensions", [])
    }
    return sorted(found - {""})


def extension_problems(
    apps: Apps, own: Iterable[Mapping[str, Any]], named: Mapping[str, str], facts: Mapping[str, Any]
) -> list[str]:
    """Extensions that no package brings: a line for each. ``own`` are databases of the role's own variable."""
    fields: dict[str, list[Any]] = {"postgres_databases": list(own)}
    fields.update(
        {f"django_apps.{name}.database": postgres_databases({name: app}) for name, app in apps.items()}
    )
    problems = []
    for field, databases in fields.items():
        wanted = [extension for database in databases for extension in database.get("extensions", [])]
        told = [problem_of(extension, named, facts) for extension in dict.fromkeys(wanted)]
        problems += [f"{field}: extensions: {problem}" for problem in told if problem]
    return problems


def problem_of(extension: str, named: Mapping[str, str], facts: Mapping[str, Any]) -> str:
    system = f"{facts.get('distribution', '')} {facts.get('version', '')}".strip()
    version = tuple(int(part) for part in re.findall(r"\d+", str(facts.get("version", ""))))
    if extension in named or extension in (facts.get("postgres_extensions") or []):
        return ""
    if extension in BROUGHT:
        first = FIRST.get(extension, {}).get(str(facts.get("distribution", "")), (0,))
        if version >= first:
            return ""
        return (
            f"{system} has no package that brings {extension} ({BROUGHT[extension].replace(VERSION, 'NN')})"
        )
    if extension in CONTRIB and not facts.get("postgres"):
        return ""
    return (
        f"no package is known that brings {extension}; name it in postgres_extension_packages "
        f"({{{extension}: 'postgresql-{VERSION}-NAME'}}), or install it on the host first"
    )
