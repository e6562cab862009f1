"""A virtual Pi in a container: podman boots Debian's systemd in it."""

from contextlib import suppress

from .host import name_servers
from .pi import Member, tmpfile
from .podman import LABEL, POWERS, podman
from .shell import VirtualError
from .state import SSH_PORT, State, address_at

MEMORY, SHARED_MEMORY = "427m", "4g"  # as Linux sees it on a Pi Zero; that of a Pi 4, which students share
# Podman mounts a host name, which no program could replace, and small file systems in memory, which a Pi has not.
# An empty machine-id becomes the container's, and each start has its own boot_id, as the reboot module expects. Systemd
# hands services their credentials through shared mounts.
_INIT = """
mount --make-rshared /; umount /etc/hostname /tmp /var/log/journal; : > /etc/machine-id
cat /proc/sys/kernel/random/uuid > /run/boot_id; mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
exec /sbin/init
"""
_CREDENTIALS = "/run/host/credentials"
_STATUS = {"running": "running", "paused": "frozen"}


class Container(Member):
    """A container that boots systemd. Its disk is the container's own layer over the suite's image."""

    @property
    def container(self) -> str:
        """The name of the container."""
        return f"{self.state.prefix}-{self.name}"

    def status(self) -> str:
        """Return running, frozen or stopped."""
        return _STATUS.get(self._inspect("{{.State.Status}}"), "stopped")

    def _inspect(self, what: str) -> str:
        """Return something about the container; empty if there is none."""
        with suppress(VirtualError):
            return podman("container", "inspect", "--format", what, self.container)
        return ""

    def start(self) -> None:
        """Start the container, with its existing disk or a fresh one. Does not wait for the boot."""
        memory = MEMORY if self.settings.students == 1 else SHARED_MEMORY
        credentials = self.folder / "credentials"
        credentials.mkdir(exist_ok=True)
        (credentials / "tmpfiles.extra").write_text(self.identity())
        if self._inspect("{{.Id}}"):
            podman("start", self.container, doing=f"Starting {self.name}")
            return
        ports = [f"--publish={self.address}:{SSH_PORT}:22"]
        ports += [f"--publish={self.address}:{port}:{port}" for port in self.settings.publish]
        # The same at each start, as the host remembers it.
        mac = f"02:00:00:00:00:{self.number:02x}"
        podman(
            *["run", "--detach", f"--name={self.container}", f"--label={LABEL}={self.state.prefix}"],
            *["--systemd=always", f"--memory={memory}", f"--memory-swap={memory}", *POWERS],
            # A reboot ends a container with the exit code 129. The limit is for one that cannot boot.
            *["--restart=on-failure:100", "--hostname=raspberrypi", "--no-hosts", "--dns=none"],
            *[f"--network={self.state.prefix}:ip={_inner_block(self.settings.address)}{self.number},mac={mac}", *ports],
            *[f"--volume={credentials}:{_CREDENTIALS}:ro", f"--env=CREDENTIALS_DIRECTORY={_CREDENTIALS}"],
            *["--log-driver=k8s-file", f"--log-opt=path={self.log}"],
            *[self.settings.base or self.settings.root, "/bin/sh", "-c", _INIT],
            doing=f"Starting {self.name}",
        )

    def stop(self, patience: float = 30) -> None:
        """Shut the Pi down cleanly, or kill it if that takes too long."""
        self.freeze(False)
        podman("stop", "--ignore", f"--time={patience:.0f}", self.container, doing=f"Stopping {self.name}")

    def kill(self) -> None:
        """Cut the Pi's power; keep its disk."""
        self.stop(0)

    def freeze(self, frozen: bool) -> None:
        """Make the Pi hang (it accepts connections, but does not answer), or continue."""
        if frozen != (self.status() == "frozen"):
            podman("pause" if frozen else "unpause", self.container)

    def save(self) -> str:
        """Save the disk of a stopped Pi as an image, and return its name."""
        image = f"localhost/mynn-pi/saved:{self.state.prefix}"
        podman("commit", "--quiet", self.container, image, doing=f"Saving the disk of {self.name}", timeout=600)
        return image

    def identity(self) -> str:
        servers = "".join(f"nameserver {server}\n" for server in name_servers())
        return super().identity() + tmpfile("f+", "/etc/resolv.conf", servers, "0644 root root")


def _inner_block(address: str) -> str:
    """Return the start of the addresses that a fleet's Pis have themselves: 10.77.0. for 127.77.0.0."""
    return address.replace("127.", "10.", 1).removesuffix("0")


def has_network(address: str) -> bool:
    """Return whether a fleet, on or off, has the network of a block."""
    networks = podman("network", "ls", f"--filter=label={LABEL}", "--format={{range .Subnets}}{{.Subnet}} {{end}}")
    return f"{_inner_block(address)}0/24" in networks.split()


def ensure_network(state: State, address: str) -> None:
    """Create the network of a fleet."""
    block = _inner_block(address)
    if podman("network", "ls", "--quiet", f"--filter=name=^{state.prefix}$"):
        return
    podman(
        *["network", "create", "--disable-dns", f"--label={LABEL}={state.prefix}"],
        *[f"--subnet={block}0/24", f"--gateway={block}254", state.prefix],
        doing=f"Creating the network {block}0/24 of the Pis at {address_at(address, 1)} and on",
    )


def remove_containers(state: State, base: str) -> None:
    """Remove a fleet's containers with their disks, its network, and saved disks that nothing starts from any more."""
    mine = f"--filter=label={LABEL}={state.prefix}"
    if containers := podman("ps", "--all", "--quiet", mine).split():
        podman("rm", "--force", "--time=0", *containers, doing="Removing the Pis", timeout=600)
    if networks := podman("network", "ls", "--quiet", mine).split():
        podman("network", "rm", "--force", *networks)
    for image in (f"localhost/mynn-pi/saved:{state.prefix}", base):
        with suppress(VirtualError):  # there is none, or another fleet uses it
            podman("rmi", image)
