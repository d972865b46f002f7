//! A PostgreSQL server for tests and measurements in other languages: `throwaway-postgres [setting=value ...]` says in one line
//! the URL of a store there, and ends with its standard input. It says nothing where there is no PostgreSQL.

fn main() {
    #[cfg(unix)]
    serve();
}

#[cfg(unix)]
fn serve() {
    use agent_data_store_testing::postgres::Database;

    let settings: Vec<String> = std::env::args().skip(1).collect();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let Some(database) = Database::find_with(&settings) else { return };
    let schema = database.schema("");
    println!("{}", schema.url);
    // However the other end goes away.
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}
