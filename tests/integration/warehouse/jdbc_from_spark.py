"""Run by test_jdbc.py in a process of its own: Spark reads and writes through the official JDBC driver.

Arguments: the driver's jar, the URL, user, password. Prints one JSON object of what was found.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

DRIVER = "com.clickhouse.jdbc.Driver"


def main(jar: str, url: str, user: str, password: str) -> None:
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.extraClassPath", jar)
        .config("spark.driver.memory", "512m")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    options = {"url": url, "user": user, "password": password, "driver": DRIVER}
    found: dict[str, Any] = {}
    rows = session.range(20_000).select(
        f.col("id").cast("int").alias("id"),
        f.format_string("it's \\ %d", "id").alias("name"),
        f.lit(1.5).alias("amount"),
    )
    rows.write.format("jdbc").options(**options, dbtable="live.jdbc", batchsize="5000").mode("append").save()
    read = session.read.format("jdbc").options(**options).option("query", "SELECT * FROM live.jdbc").load()
    found["types"] = {field.name: field.dataType.simpleString() for field in read.schema.fields}
    found["sum"] = read.agg(f.sum("id"), f.count("*")).first().asDict()
    found["name"] = read.where("id = 7").first()["name"]
    found["plain"] = plain_jdbc(session, url, user, password)
    session.stop()
    print(json.dumps(found))


def plain_jdbc(session: SparkSession, url: str, user: str, password: str) -> dict[str, Any]:
    """The driver itself: metadata, a prepared statement, an error's code."""
    jvm: Any = session._jvm  # type: ignore[attr-defined]
    connection = jvm.java.sql.DriverManager.getConnection(url, user, password)
    statement = connection.prepareStatement("SELECT count() FROM live.jdbc WHERE id >= ? AND name LIKE ?")
    statement.setInt(1, 19_990)
    statement.setString(2, "it's%")
    result = statement.executeQuery()
    result.next()
    found = {"prepared": result.getLong(1), "version": connection.getMetaData().getDatabaseProductVersion()}
    tables = connection.getMetaData().getTables(None, "live", "jdbc", None)
    found["table"] = tables.next() and tables.getString("TABLE_NAME")
    try:
        connection.createStatement().executeQuery("SELECT * FROM live.nope")
    except Exception as error:  # noqa: BLE001 (py4j's own type wraps the SQLException)
        found["error_code"] = error.java_exception.getErrorCode()  # type: ignore[attr-defined]
    connection.close()
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
