import signal
import subprocess
import sys

LOGS = [sys.executable, "-m", "headwater.cli", "logs"]


def test_shows_the_end_of_every_process_of_a_service(settings):
    settings.logs_dir.mkdir(parents=True)
    for name in ("airflow-scheduler", "airflow-triggerer"):
        (settings.logs_dir / f"{name}.log").write_text(f"old\nlast of {name}\n")
    answer = subprocess.run([*LOGS, "airflow", "-n", "1"], capture_output=True, text=True)
    assert answer.stdout.splitlines() == [
        "airflow-scheduler: last of airflow-scheduler",
        "airflow-triggerer: last of airflow-triggerer",
    ]


def test_follows_until_interrupted(settings):
    settings.logs_dir.mkdir(parents=True)
    log = settings.logs_dir / "kafka.log"
    log.write_text("before\n")
    with subprocess.Popen([*LOGS, "kafka", "-f"], stdout=subprocess.PIPE, text=True, bufsize=1) as following:
        assert following.stdout.readline() == "before\n"
        with log.open("a") as more:
            more.write("after\n")
        assert following.stdout.readline() == "after\n"
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 0


def test_an_unknown_service_is_told_with_the_known_ones(settings):
    answer = subprocess.run([*LOGS, "kafak"], capture_output=True, text=True)
    assert answer.returncode == 1
    assert "no such service or log: kafak → one of postgres, kafka" in answer.stderr
