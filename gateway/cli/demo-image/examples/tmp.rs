fn main() {
    let a: Vec<String> = std::env::args().collect();
    let mut o = gyre_demo_image::Options::new("Hello from Gyre");
    if a.len() > 2 {
        o.want = gyre_demo_image::Want::BootSector;
    }
    let t = std::time::Instant::now();
    println!("{:?} {:?}", gyre_demo_image::build(&o, std::path::Path::new(&a[1])), t.elapsed());
}
