"""What a broker is configured with wherever it runs."""

from deployment.credentials import Credentials
from deployment.roles import AMQP_USER

# The syntax of 3.10 and 4.x alike. The write-ahead log of the quorum queues is kept in memory too until it is
# full, so that its usual 512 MB would count against a watermark of 1 GB.
_SETTINGS = """\
# Written anew by every start of the stack; changes made here do not last.
default_user = {user}
default_pass = {password}
heartbeat = 20
disk_free_limit.absolute = 200MB
vm_memory_high_watermark.absolute = 1GB
raft.wal_max_size_bytes = 67108864
"""


def text(credentials: Credentials) -> str:
    """The text of rabbitmq.conf."""
    return _SETTINGS.format(user=AMQP_USER, password=credentials.amqp)
