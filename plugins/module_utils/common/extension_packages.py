# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which Debian package brings an extension of PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping

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
