# gridwhistle (吹哨). Two commands do everything: `make run` and `make test`.
PYTHON ?= python3.11
BIN := .venv/bin
CODE := contracts runtime ingest inference alerts dashboard_api models sim bench tests gridwhistle.py

.DEFAULT_GOAL := help
.PHONY: help setup run test check fast soak bench lock clean

help:  ## 列出命令 list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

setup: .venv/.ready  ## 建立 .venv (锁定依赖) make .venv from the locked dependencies

.venv/.ready: requirements.lock pyproject.toml
	@echo "正在安装依赖, 约 1-2 分钟 (installing the dependencies, about 1-2 minutes)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup  ## 启动整个县 start the whole county and print the wall's address
	@$(BIN)/gridwhistle run

# Two workers a core: many tests wait for seconds to pass. The order is that of tests/conftest.py.
test: setup  ## 全部测试 all tests (skips what is not installed, and counts it)
	$(BIN)/pytest -m "not soak" -n 4 --dist loadfile --no-loadscope-reorder

# TESTED=1: all tests have just run, so the fast ones need not run again.
check: setup $(if $(TESTED),,fast)  ## 格式, 类型, 分层, 快速测试 lint, types, layers, fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports

fast: setup
	$(BIN)/pytest -q -m "not soak and not slow and not external and not data" -n 2 --dist loadfile

soak: setup  ## 断电, 风暴, 长跑 kills, storms, long runs
	$(BIN)/pytest -m soak -s --timeout 7200

bench: setup  ## 实测数字 wall-clock figures
	@for program in bench/[a-z]*.py; do echo "== $$program"; $(BIN)/python -m bench.$$(basename $$program .py) || exit 1; done

LOCK := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url \
	--no-emit-find-links --no-emit-trusted-host --no-emit-options --no-annotate

lock: setup  ## 更新锁定文件 renew the lock files: everything, and what the image needs at the same versions
	$(LOCK) --upgrade --extra dev --output-file requirements.lock pyproject.toml
	cp requirements.lock requirements-runtime.lock
	$(LOCK) --output-file requirements-runtime.lock pyproject.toml

clean:  ## 删除 .venv 与运行数据 remove .venv and the data of runs
	rm -rf .venv var
