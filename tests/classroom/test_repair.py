"""site.yml repairs a Pi: after power cuts, with damaged files, and while another program holds apt's lock."""

from tests.support.classroom import Classroom, root, serves, until

VENV = "/opt/mynn/venv"
AVAHI = "busctl call org.freedesktop.Avahi / org.freedesktop.Avahi.Server"
DOWNLOAD = "mkdir -p /tmp/cut && cd /tmp/cut && apt-get download -q sl hello python3-distro-info"
# Kill dpkg in the middle of installing packages that nothing needs, and while it unpacks one that is installed already.
INTERRUPT = r"""
cd /tmp/cut
dpkg --status-fd 3 --install sl_*.deb hello_*.deb 3>&1 >/dev/null | while read line; do
    case $line in *unpacked*) pkill -KILL -x dpkg;; esac
done
cat > dpkg-deb <<"END"
#!/bin/sh
case $1 in
    --fsys-tarfile) /usr/bin/dpkg-deb "$@" | head -c 3000; sleep 1; kill -KILL $PPID;;
    *) exec /usr/bin/dpkg-deb "$@";;
esac
END
chmod +x dpkg-deb
PATH=/tmp/cut:$PATH dpkg --unpack python3-distro-info_*.deb
cd / && rm -r /tmp/cut
dpkg --audit
"""
# What a power cut leaves of apt's files: a truncated list, another that is all zeros, a missing package whose archive
# has the right size but is damaged, and stale lock files.
APT = r"""
apt-get remove -y systemd-zram-generator
apt-get install --download-only --no-install-recommends -y -o APT::Keep-Downloaded-Packages=true systemd-zram-generator
dd if=/dev/zero of=$(ls /var/cache/apt/archives/systemd-zram-generator_*.deb) bs=1 seek=10000 count=300 conv=notrunc
cd /var/lib/apt/lists
truncate --size=1M *_trixie_main_binary-*_Packages
for file in *_trixie-updates_InRelease; do
    size=$(stat -c %s $file); truncate --size=0 $file; truncate --size=$size $file
done
touch lock /var/lib/dpkg/lock /var/lib/dpkg/lock-frontend
"""
# And of the rest: digits, the environment, half-made as well as damaged, and the server's unit.
OTHERS = f"""
truncate --size=50M /srv/mynn/mnist/mnist_train.csv; rm /srv/mynn/mnist/mnist_test_10.csv
sed -i 's/^include-system-site-packages = true/include-system-site-packages = false/' {VENV}/pyvenv.cfg
rm {VENV}/installed-* {VENV}/bin/python3
systemctl disable --now jupyter
touch /run/reboot-required
"""
# Hold the lock of apt and dpkg for some seconds: Python's lockf takes the same lock.
HOLD = (
    "import fcntl, time; lock = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(lock, fcntl.LOCK_EX);"
    "open('/run/held', 'w'); time.sleep(60)"
)
BOOT = "cat /proc/sys/kernel/random/boot_id"


def test_one_run_repairs_everything(classroom: Classroom) -> None:
    """And reboots the Pi, which needs it."""
    sums = root(classroom, "cd /srv/mynn/mnist; sha256sum *.csv")
    boot = root(classroom, BOOT)
    for script in (OTHERS, DOWNLOAD, APT):
        root(classroom, script)
    broken = root(classroom, INTERRUPT)
    assert all(f"\n {package} " in broken for package in ("sl", "python3-distro-info"))
    root(classroom, f'systemd-run --quiet --collect --unit=holder /usr/bin/python3 -c "{HOLD}"')
    until(lambda: root(classroom, "ls /run/held || true") != "")
    classroom.run("site")
    assert root(classroom, "dpkg --audit 2>&1; python3 -c 'import apt; apt.Cache()' 2>&1 | tail -1") == ""
    assert serves(classroom)
    assert root(classroom, "cd /srv/mynn/mnist; sha256sum *.csv") == sums
    assert root(classroom, "systemctl is-enabled jupyter") == "enabled"
    assert root(classroom, BOOT) != boot
    assert classroom.changes("site") == {"pi-01": 0}
    root(classroom, "apt-get autoremove --yes sl hello")


def test_a_wrong_name_on_the_network_is_corrected(classroom: Classroom) -> None:
    """avahi-daemon sometimes takes the Pi's own old announcement for another Pi's."""
    root(classroom, f"systemctl stop mynn-name.timer; {AVAHI} SetHostName s pi-01-2")
    until(lambda: "pi-01-2" in root(classroom, f"{AVAHI} GetHostName"))
    root(classroom, "systemctl start mynn-name.timer mynn-name")
    until(lambda: root(classroom, f"{AVAHI} GetHostName").split('"')[1] == "pi-01")
