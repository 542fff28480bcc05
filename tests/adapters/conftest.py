"""The servers' databases for every test of this folder."""

from tests.adapters.servers import mariadb as mariadb
from tests.adapters.servers import postgresql as postgresql
