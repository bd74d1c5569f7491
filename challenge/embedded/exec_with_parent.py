"""Become another program that ends with its parent.

``exec_with_parent.py SIGNAL PARENT_PID PROGRAM …``

Run as a file of its own, not as a module: it stands between a change of user (which clears the
parent-death signal) and the server, and must start in a few milliseconds.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    death_signal, parent_pid, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent_pid:
            sys.exit("the parent is gone already")
    os.execv(command[0], command)
