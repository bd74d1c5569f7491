# Threads of a web process unless WEB_THREADS says otherwise; gunicorn and the settings need it.
WEB_THREADS = 16
