/** Asks through JDBC as a BI tool does; run by test_bi.py with URL, user, password, database. Prints name=value lines. */
import java.sql.*;
import java.util.Properties;

public class Ask {
    public static void main(String[] arguments) throws Exception {
        Class.forName("com.clickhouse.jdbc.Driver");
        Properties properties = new Properties();
        properties.setProperty("user", arguments[1]);
        properties.setProperty("password", arguments[2]);
        try (Connection connection = DriverManager.getConnection(arguments[0], properties)) {
            DatabaseMetaData about = connection.getMetaData();
            StringBuilder tables = new StringBuilder();
            try (ResultSet found = about.getTables(null, "%", "%", null)) {
                while (found.next()) tables.append(found.getString("TABLE_SCHEM")).append('.').append(found.getString("TABLE_NAME")).append(' ');
            }
            System.out.println("tables=" + tables.toString().trim());
            try (ResultSet found = about.getColumns(null, arguments[3], "mart_marketing_rfm", "household_id")) {
                found.next();
                System.out.println("column=" + found.getString("TYPE_NAME") + "|" + found.getString("REMARKS"));
            }
            String sql = "SELECT household_id, monetary FROM mart_marketing_rfm WHERE recency_score >= ? ORDER BY household_id";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                statement.setInt(1, 0);
                statement.setMaxRows(2);
                try (ResultSet rows = statement.executeQuery()) {
                    int count = 0;
                    while (rows.next()) { count++; System.out.println("row=" + rows.getString(1) + "|" + rows.getBigDecimal(2)); }
                    System.out.println("count=" + count);
                }
            }
            for (String refused : new String[] {"SELECT * FROM gold.fct_sales", "DROP VIEW mart_marketing_rfm"}) {
                try (Statement statement = connection.createStatement()) {
                    statement.execute(refused);
                    System.out.println("answered=" + refused);
                } catch (SQLException error) { System.out.println("code=" + error.getErrorCode()); }
            }
        }
    }
}
