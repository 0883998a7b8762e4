# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""supervisord's and PostgreSQL's access rules."""

from __future__ import annotations

import glob
import json
import os
import re
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import read


def inet_interfaces(config: str = "/etc/supervisor/supervisord.conf") -> dict[str, Any] | None:
    """The files that have supervisord listen on TCP; nothing where there is none."""
    text = read(config)
    if not text:
        return None
    folder = os.path.dirname(config)
    names = re.findall(r"^\s*files\s*=\s*(.+)$", text, re.MULTILINE)
    included = [
        path
        for pattern in " ".join(names).split()
        for path in sorted(glob.glob(os.path.join(folder, pattern)))
    ]
    return {
        "files": [
            path
            for path in (config, *included)
            if re.search(r"^\[inet_http_server\]", read(path), re.MULTILINE)
        ]
    }


# of roles: those that log in and may do more than use their own databases
POSTGRES = """
SELECT json_build_object(
  'databases', (SELECT coalesce(json_agg(json_build_object(
      'name', datname, 'owner', pg_get_userbyid(datdba),
      'public', (SELECT coalesce(string_agg(privilege_type, ', '), '')
                 FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0))), '[]')
    FROM pg_database WHERE NOT datistemplate),
  'roles', (SELECT coalesce(json_agg(json_build_object(
      'name', rolname, 'md5', coalesce(rolpassword LIKE 'md5%', false),
      'powers', array_to_string(ARRAY[
        CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
        CASE WHEN rolbypassrls THEN 'BYPASSRLS' END], ', '))), '[]')
    FROM pg_authid WHERE rolcanlogin),
  'rules', (SELECT coalesce(json_agg(json_build_object(
      'line', line_number, 'type', type, 'address', coalesce(address, ''), 'method', auth_method)), '[]')
    FROM pg_hba_file_rules WHERE error IS NULL))
"""


def postgres() -> dict[str, Any] | None:
    """Who may do what in the local cluster; nothing where there is none."""
    if not glob.glob("/etc/postgresql/*/*/postgresql.conf"):
        return None
    try:
        found: dict[str, Any] = json.loads(Cluster().ask(POSTGRES, seconds=10))
    except DeployError as error:
        raise OSError("PostgreSQL does not answer its superuser") from error
    return found
